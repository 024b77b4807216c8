package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// healthcheckCmd is for an image that has neither a shell nor curl.
type healthcheckCmd struct {
	Settings struct {
		ManagementListen string `default:":9090" placeholder:"HOST:PORT" help:"Where the replica's management listener is."`
	} `embed:"" group:"settings"`
	Timeout time.Duration `default:"2s" help:"How long to wait for the answer."`
}

// Run asks /readyz?for=traffic. Exit code 1: not ready, or no answer.
func (h *healthcheckCmd) Run(ctx context.Context, out *streams) error {
	address, err := localAddress(h.Settings.ManagementListen)
	if err != nil {
		return exitError{exitUsage, "management-listen must be host:port; it is " + h.Settings.ManagementListen}
	}
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz?for=traffic", nil)
	if err != nil {
		return exitError{exitUsage, err.Error()}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return exitError{exitFailed, "no answer: " + err.Error()}
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return exitError{exitFailed, "not ready: " + response.Status}
	}
	fmt.Fprintln(out.Stdout, "ok")
	return nil
}

// localAddress is where a listener on this machine is reached; one that listens everywhere listens here too.
func localAddress(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if ip, errIP := netip.ParseAddr(host); host == "" || errIP == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port), err
}
