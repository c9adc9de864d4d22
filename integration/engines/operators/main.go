// The operators of JobSet, PyTorchJob and MPIJob for tests, in one program: their own controllers and, where
// they have them, webhooks, each from its own module, as are the definitions of these kinds.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"

	mpioptions "github.com/kubeflow/mpi-operator/cmd/mpi-operator/app/options"
	mpiclient "github.com/kubeflow/mpi-operator/pkg/client/clientset/versioned"
	mpischeme "github.com/kubeflow/mpi-operator/pkg/client/clientset/versioned/scheme"
	mpiinformers "github.com/kubeflow/mpi-operator/pkg/client/informers/externalversions"
	mpi "github.com/kubeflow/mpi-operator/pkg/controller"
	training "github.com/kubeflow/training-operator/pkg/apis/kubeflow.org/v1"
	trainingconfig "github.com/kubeflow/training-operator/pkg/config"
	"github.com/kubeflow/training-operator/pkg/controller.v1/common"
	"github.com/kubeflow/training-operator/pkg/controller.v1/pytorch"
	pytorchhooks "github.com/kubeflow/training-operator/pkg/webhooks/pytorch"
	admission "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	jobset "sigs.k8s.io/jobset/api/jobset/v1alpha2"
	jobsets "sigs.k8s.io/jobset/pkg/controllers"
	jobsethooks "sigs.k8s.io/jobset/pkg/webhooks"
)

func main() {
	if len(os.Args) != 5 {
		log.Fatal("write operators KUBECONFIG CERTIFICATES PORT DEFINITIONS")
	}
	port, err := strconv.Atoi(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	if err := run(ctrl.SetupSignalHandler(), os.Args[1], os.Args[2], port, os.Args[4]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, kubeconfig, certs string, port int, definitions string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 200, 400
	ctrl.SetLogger(zap.New())
	if _, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: []string{definitions}, ErrorIfPathMissing: true}); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientscheme.AddToScheme, jobset.AddToScheme, training.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	hooks := webhook.NewServer(webhook.Options{
		Host: "127.0.0.1", Port: port, CertDir: certs, CertName: "server.pem", KeyName: "server-key.pem",
	})
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, WebhookServer: hooks, Metrics: server.Options{BindAddress: "0"},
	})
	if err != nil {
		return err
	}
	if err := runJobSets(ctx, manager); err != nil {
		return err
	}
	if err := runPyTorchJobs(manager); err != nil {
		return err
	}
	if err := runMPIJobs(ctx, config); err != nil {
		return err
	}
	if err := registerHooks(ctx, config, certs, port); err != nil {
		return err
	}
	return manager.Start(ctx)
}

func runJobSets(ctx context.Context, manager ctrl.Manager) error {
	if err := jobsets.SetupJobSetIndexes(ctx, manager.GetFieldIndexer()); err != nil {
		return err
	}
	controller := jobsets.NewJobSetReconciler(manager.GetClient(), manager.GetScheme(), manager.GetEventRecorderFor("jobset"))
	if err := controller.SetupWithManager(manager); err != nil {
		return err
	}
	hook, err := jobsethooks.NewJobSetWebhook(manager.GetClient())
	if err != nil {
		return err
	}
	return hook.SetupWebhookWithManager(manager)
}

func runPyTorchJobs(manager ctrl.Manager) error {
	// What its program's flags have as defaults. The init container of workers waits for the first pod's name.
	trainingconfig.Config.PyTorchInitContainerImage = trainingconfig.PyTorchInitContainerImageDefault
	trainingconfig.Config.PyTorchInitContainerTemplateFile = trainingconfig.PyTorchInitContainerTemplateFileDefault
	trainingconfig.Config.PyTorchInitContainerMaxTries = trainingconfig.PyTorchInitContainerMaxTriesDefault
	controller := pytorch.NewReconciler(manager, common.GenNonGangSchedulerSetupFunc())
	if err := controller.SetupWithManager(manager, 2); err != nil {
		return err
	}
	return pytorchhooks.SetupWebhook(manager)
}

func runMPIJobs(ctx context.Context, config *rest.Config) error {
	cluster, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	own, err := mpiclient.NewForConfig(config)
	if err != nil {
		return err
	}
	if err := mpischeme.AddToScheme(clientscheme.Scheme); err != nil {
		return err
	}
	options, flags := &mpioptions.ServerOption{}, flag.NewFlagSet("mpi-operator", flag.ContinueOnError)
	options.AddFlags(flags)
	typed := informers.NewSharedInformerFactory(cluster, 0)
	jobs := mpiinformers.NewSharedInformerFactory(own, 0)
	core := typed.Core().V1()
	controller, err := mpi.NewMPIJobController(ctx, cluster, own, nil, nil, core.ConfigMaps(), core.Secrets(), core.Services(),
		typed.Batch().V1().Jobs(), core.Pods(), typed.Scheduling().V1().PriorityClasses(), jobs.Kubeflow().V2beta1().MPIJobs(),
		options)
	if err != nil {
		return err
	}
	typed.Start(ctx.Done())
	jobs.Start(ctx.Done())
	go func() {
		if err := controller.Run(2, ctx.Done()); err != nil {
			log.Fatal(err)
		}
	}()
	return nil
}

// The webhooks that look at objects of these kinds. Those that look at every pod are left out: other tests of
// the same cluster would wait for this program.
func registerHooks(ctx context.Context, config *rest.Config, certs string, port int) error {
	authority, err := os.ReadFile(filepath.Join(certs, "ca.pem"))
	if err != nil {
		return err
	}
	all, err := client.New(config, client.Options{})
	if err != nil {
		return err
	}
	reached := func(path string) admission.WebhookClientConfig {
		url := fmt.Sprintf("https://127.0.0.1:%d%s", port, path)
		return admission.WebhookClientConfig{URL: &url, CABundle: authority}
	}
	none := admission.SideEffectClassNone
	rules := func(group, version, plural string, operations ...admission.OperationType) []admission.RuleWithOperations {
		return []admission.RuleWithOperations{{Operations: operations, Rule: admission.Rule{
			APIGroups: []string{group}, APIVersions: []string{version}, Resources: []string{plural},
		}}}
	}
	sets := func(operations ...admission.OperationType) []admission.RuleWithOperations {
		return rules("jobset.x-k8s.io", "v1alpha2", "jobsets", operations...)
	}
	defaults := &admission.MutatingWebhookConfiguration{Webhooks: []admission.MutatingWebhook{{
		Name: "mjobset.kb.io", ClientConfig: reached("/mutate-jobset-x-k8s-io-v1alpha2-jobset"), Rules: sets(admission.Create),
		SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
	}}}
	checks := &admission.ValidatingWebhookConfiguration{Webhooks: []admission.ValidatingWebhook{{
		Name: "vjobset.kb.io", ClientConfig: reached("/validate-jobset-x-k8s-io-v1alpha2-jobset"),
		Rules: sets(admission.Create, admission.Update), SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
	}, {
		Name: "validator.pytorchjob.training-operator.kubeflow.org", ClientConfig: reached("/validate-kubeflow-org-v1-pytorchjob"),
		Rules:       rules("kubeflow.org", "v1", "pytorchjobs", admission.Create, admission.Update),
		SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
	}}}
	for _, object := range []client.Object{defaults, checks} {
		object.SetName("mlbuild-test-operators")
		if err := all.Delete(ctx, object); err != nil && !errors.IsNotFound(err) {
			return err
		}
		object.SetResourceVersion("")
		if err := all.Create(ctx, object); err != nil {
			return err
		}
	}
	return nil
}
