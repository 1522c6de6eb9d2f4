// Command client drives the official Go client of Azure Machine Learning against a Resource Manager at a given address,
// and judges every answer by what the client makes of it.
//
// It prints one line for each step and a summary, and its exit status is 1 when any step failed.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	ml "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"
)

// options are where the service is and how to be known there.
type options struct {
	endpoint, authority, subscription, group, token string
}

// suite is one journey through the client; journeys share nothing, so that they run at the same time.
type suite struct {
	name string
	run  func(context.Context, *steps)
}

// steps gives a journey its clients, and keeps what came of its steps.
type steps struct {
	factory      *ml.ClientFactory
	subscription string
	group        string
	suite        string

	mutex    *sync.Mutex
	passed   *int
	failures *[]string
}

func main() {
	var chosen options
	flag.StringVar(&chosen.endpoint, "endpoint", "", "the address of Resource Manager")
	flag.StringVar(&chosen.authority, "authority", "", "the address of the token endpoint, for nothing but the cloud's description")
	flag.StringVar(&chosen.subscription, "subscription", "11111111-1111-1111-1111-111111111111", "the subscription's id")
	flag.StringVar(&chosen.group, "resource-group", "go-client", "the resource group")
	flag.StringVar(&chosen.token, "token", "go-client", "the bearer token")
	authorities := flag.String("ca", "", "a PEM file of certificate authorities to trust")
	limit := flag.Duration("timeout", 2*time.Minute, "how long everything may take")
	flag.Parse()
	if err := run(chosen, *authorities, *limit); err != nil {
		fmt.Fprintf(os.Stderr, "client: %v\n", err)
		os.Exit(1)
	}
}

func run(chosen options, authorities string, limit time.Duration) error {
	factory, err := newFactory(chosen, authorities)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var (
		mutex    sync.Mutex
		passed   int
		failures []string
		running  sync.WaitGroup
	)
	for _, journey := range suites {
		one := &steps{
			factory: factory, subscription: chosen.subscription, group: chosen.group, suite: journey.name,
			mutex: &mutex, passed: &passed, failures: &failures,
		}
		running.Go(func() { journey.run(ctx, one) })
	}
	running.Wait()
	fmt.Printf("%d steps passed, %d failed\n", passed, len(failures))
	if len(failures) > 0 {
		return errors.New("some steps failed")
	}
	return nil
}

// newFactory makes the official clients, told of a cloud of our own.
func newFactory(chosen options, authorities string) (*ml.ClientFactory, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	if authorities != "" {
		text, err := os.ReadFile(authorities)
		if err != nil {
			return nil, err
		}
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no certificate", authorities)
		}
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	return ml.NewClientFactory(chosen.subscription, fixed(chosen.token), &arm.ClientOptions{
		ClientOptions: policy.ClientOptions{
			Cloud: cloud.Configuration{
				ActiveDirectoryAuthorityHost: chosen.authority,
				Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
					cloud.ResourceManager: {Endpoint: chosen.endpoint, Audience: chosen.endpoint},
				},
			},
			InsecureAllowCredentialWithHTTP: true,
			Transport:                       &http.Client{Transport: transport, Timeout: 30 * time.Second},
			// The service is beside us and no answer of its is to be hidden by a retry.
			Retry: policy.RetryOptions{MaxRetries: -1},
		},
		DisableRPRegistration: true,
	})
}

// fixed is a credential that always gives the same token.
type fixed string

func (f fixed) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(f), ExpiresOn: time.Now().Add(time.Hour)}, nil
}
