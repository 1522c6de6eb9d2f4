// Command fake serves the official fake server of armmachinelearning over HTTP, so that a client in any language can be
// run against it.
//
// The fake server was made for Go clients in the same process: it is told the operation by its Go name, answers errors
// as Go values, and has a way of its own to poll operations. The handler in adapter.go translates all three into what
// Azure Resource Manager does on the wire. What the operations do, with maps for a database, is in handlers.go.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4/fake"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "the address to listen on")
	certificate := flag.String("tls-cert", "", "a PEM certificate; with it HTTPS is served")
	key := flag.String("tls-key", "", "the PEM key of the certificate")
	polls := flag.Int("polls", 2, "how often an operation is polled before it is done")
	flag.Parse()
	if err := run(*listen, *certificate, *key, *polls); err != nil {
		fmt.Fprintf(os.Stderr, "fake: %v\n", err)
		os.Exit(1)
	}
}

// run serves until the process is told to end.
func run(listen, certificate, key string, polls int) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	store := newStore(polls)
	servers := fake.ServerFactory{}
	store.handle(&servers)
	server := http.Server{
		Handler:           newAdapter(fake.NewServerFactoryTransport(&servers), store),
		ReadHeaderTimeout: 10 * time.Second,
	}
	ended, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ended.Done()
		_ = server.Close()
	}()
	scheme := "http"
	if certificate != "" {
		scheme = "https"
	}
	fmt.Printf("%s://%s\n", scheme, listener.Addr())
	if certificate != "" {
		err = server.ServeTLS(listener, certificate, key)
	} else {
		err = server.Serve(listener)
	}
	if ended.Err() != nil {
		return nil
	}
	return err
}
