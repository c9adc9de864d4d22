// A Kubernetes control plane for tests, in one program: the API server as it is, and of the
// controllers those that Jobs, quotas and deletions need, and a node without containers.
package main

import (
	"context"
	"log"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/quota/v1/generic"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/component-base/cli"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/pkg/controller"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/job"
	"k8s.io/kubernetes/pkg/controller/resourcequota"
	quotainstall "k8s.io/kubernetes/pkg/quota/v1/install"
)

const often = 2 * time.Second

func main() {
	if len(os.Args) == 3 && os.Args[1] == "controllers" {
		if err := controllers(context.Background(), os.Args[2]); err != nil {
			log.Fatal(err)
		}
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "apiserver" {
		command := app.NewAPIServerCommand()
		command.SetArgs(os.Args[2:])
		os.Exit(cli.Run(command))
	}
	if len(os.Args) == 7 && os.Args[1] == "node" {
		log.Fatal(node(os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6]))
	}
	if len(os.Args) > 2 && os.Args[1] == "kubectl" {
		os.Exit(kubectl(os.Args[2], os.Args[3:]))
	}
	log.Fatal("write kubectl port-forward WORDS..., node NAME PORT CERTIFICATES LOGS KUBECONFIG, apiserver FLAGS... or controllers KUBECONFIG")
}

func controllers(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 200, 400
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	typed := informers.NewSharedInformerFactory(client, 0)
	started := make(chan struct{})

	jobs, err := job.NewController(ctx, client, typed.Core().V1().Pods(), typed.Batch().V1().Jobs(), nil, nil)
	if err != nil {
		return err
	}
	quotas, err := quotaController(ctx, client, typed, started)
	if err != nil {
		return err
	}
	garbage, err := garbageCollector(ctx, config, client, typed, started)
	if err != nil {
		return err
	}
	typed.Start(ctx.Done())
	close(started)
	go jobs.Run(ctx, 4)
	go quotas.Run(ctx, 2)
	go quotas.Sync(ctx, client.Discovery().ServerPreferredNamespacedResources, often)
	go garbage.Run(ctx, 4, often)
	garbage.Sync(ctx, client.Discovery(), often)
	<-ctx.Done()
	return nil
}

func quotaController(ctx context.Context, client kubernetes.Interface, typed informers.SharedInformerFactory, started chan struct{}) (*resourcequota.Controller, error) {
	evaluators, err := quotainstall.NewQuotaConfigurationForControllers(generic.ListerFuncForResourceFunc(typed.ForResource), typed)
	if err != nil {
		return nil, err
	}
	return resourcequota.NewController(ctx, &resourcequota.ControllerOptions{
		QuotaClient:               client.CoreV1(),
		ResourceQuotaInformer:     typed.Core().V1().ResourceQuotas(),
		ResyncPeriod:              controller.StaticResyncPeriodFunc(often),
		InformerFactory:           typed,
		ReplenishmentResyncPeriod: controller.StaticResyncPeriodFunc(often),
		DiscoveryFunc:             client.Discovery().ServerPreferredNamespacedResources,
		IgnoredResourcesFunc:      evaluators.IgnoredResources,
		InformersStarted:          started,
		Registry:                  generic.NewRegistry(evaluators.Evaluators()),
		UpdateFilter:              quotainstall.DefaultUpdateFilter(),
	})
}

func garbageCollector(ctx context.Context, config *rest.Config, client kubernetes.Interface, typed informers.SharedInformerFactory, started chan struct{}) (*garbagecollector.GarbageCollector, error) {
	objects, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	found, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(found))
	go wait.Until(mapper.Reset, often, ctx.Done())
	return garbagecollector.NewGarbageCollector(ctx, client, objects, mapper, garbagecollector.DefaultIgnoredResources(),
		informerfactory.NewInformerFactory(typed, metadatainformer.NewSharedInformerFactory(objects, 0)), started)
}
