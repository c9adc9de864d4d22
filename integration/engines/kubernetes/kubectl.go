package main

import (
	"log"
	"os"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd/portforward"
	"k8s.io/kubectl/pkg/cmd/util"
)

// The verb of kubectl that tests hold the node and mlbuild against, as kubectl has it.
func kubectl(verb string, words []string) int {
	if verb != "port-forward" {
		log.Fatalf("kubectl %s isn't here: write kubectl port-forward", verb)
	}
	flags := genericclioptions.NewConfigFlags(true)
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	command := portforward.NewCmdPortForward(util.NewFactory(flags), streams)
	flags.AddFlags(command.Flags())
	command.SetArgs(words)
	return cli.Run(command)
}
