package main

import (
	"encoding/json"
	"errors"
	"io"
	"unsafe"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/spf13/pflag"

	_ "github.com/docker/cli/cli/command/container"
)

// The client exports neither; what it does with a line of `docker run` is these two calls.
//
//go:linkname addFlags github.com/docker/cli/cli/command/container.addFlags
func addFlags(flags *pflag.FlagSet) unsafe.Pointer

//go:linkname parse github.com/docker/cli/cli/command/container.parse
func parse(flags *pflag.FlagSet, options unsafe.Pointer, serverOS string) (*parsed, error)

//go:linkname validatePullOpt github.com/docker/cli/cli/command/container.validatePullOpt
func validatePullOpt(val string) error

type parsed struct {
	Config           *container.Config
	HostConfig       *container.HostConfig
	NetworkingConfig *network.NetworkingConfig
}

// dockerRun reads a line as NewRunCommand and runRun do, up to the first call of the daemon.
func dockerRun(question []byte) (any, error) {
	var words []string
	if err := json.Unmarshal(question, &words); err != nil {
		return nil, err
	}
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.SetInterspersed(false)
	detach := flags.BoolP("detach", "d", false, "")
	flags.Bool("sig-proxy", true, "")
	flags.String("name", "", "")
	flags.String("detach-keys", "", "")
	pull := flags.String("pull", "missing", "")
	flags.BoolP("quiet", "q", false, "")
	flags.Bool("use-api-socket", false, "")
	flags.Bool("help", false, "")
	platform := flags.String("platform", "", "")
	flags.Bool("disable-content-trust", true, "")
	options := addFlags(flags)
	if err := flags.Parse(words); err != nil {
		return nil, err
	}
	if flags.NArg() < 1 {
		return nil, errors.New("docker run requires at least 1 argument")
	}
	if err := validatePullOpt(*pull); err != nil {
		return nil, err
	}
	read, err := parse(flags, options, "linux")
	if err != nil {
		return nil, err
	}
	if *detach && flags.Changed("attach") {
		return nil, errors.New("conflicting options: cannot specify both --attach and --detach")
	}
	if *platform != "" {
		if _, err := platforms.Parse(*platform); err != nil {
			return nil, err
		}
	}
	if _, err := reference.ParseAnyReference(flags.Arg(0)); err != nil {
		return nil, err
	}
	return map[string]any{"image": flags.Arg(0), "command": flags.Args()[1:], "host": read.HostConfig}, nil
}
