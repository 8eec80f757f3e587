// SPDX-License-Identifier: Apache-2.0

// Command plane is the control plane of the cluster in a box: etcd, the three
// Kubernetes servers and kubectl in one program, chosen by the first argument.
// One program, because the five share most of their code: one link step and
// one file to keep instead of five. Called by the name kubectl it is kubectl.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	// Register the metrics of clients and of the version, as the original programs do.
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

const expected = "expected etcd, kube-apiserver, kube-controller-manager or kube-scheduler"

func main() {
	os.Exit(run(os.Args))
}

// run starts the component that the first argument names and returns its exit code.
func run(args []string) int {
	if filepath.Base(args[0]) == "kubectl" {
		return cli.Run(kubectl.NewDefaultKubectlCommand())
	}
	if len(args) < 2 {
		fmt.Fprintln(os.Stderr, "plane: no component named; "+expected)
		return 2
	}
	name, rest := args[1], args[2:]
	var command *cobra.Command
	switch name {
	case "etcd":
		return runEtcd(rest)
	case "kube-apiserver":
		command = apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		command = controllermanager.NewControllerManagerCommand()
	case "kube-scheduler":
		command = scheduler.NewSchedulerCommand()
	default:
		fmt.Fprintf(os.Stderr, "plane: unknown component %q; %s\n", name, expected)
		return 2
	}
	// The servers read os.Args themselves in places, so they see what they would see on their own.
	os.Args = append([]string{name}, rest...)
	return cli.Run(command)
}
