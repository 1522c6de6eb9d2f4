// Command client drives the official Go client of Azure Machine Learning against a Resource Manager at a given address,
// and judges every answer by what the client makes of it.
//
// It prints one line for each step and a summary, and its exit status is 1 when any step failed.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/kubernetesconfiguration/armkubernetesconfiguration/v2"
	ml "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"
)

// options are where the service is and how to be known there.
type options struct {
	endpoint, authority, subscription, group string
	tenant, client, secret                   string
}

// suite is one journey through the client; journeys share nothing, so that they run at the same time.
type suite struct {
	name string
	run  func(context.Context, *steps)
}

// clients are the official clients that the journeys need, and a bare one for what these lack.
type clients struct {
	factory    *ml.ClientFactory
	extensions *armkubernetesconfiguration.ExtensionsClient
	resources  *arm.Client
}

// steps gives a journey its clients, and keeps what came of its steps.
type steps struct {
	clients
	subscription string
	group        string
	suite        string

	mutex    *sync.Mutex
	passed   *int
	failures *[]string
}

func main() {
	var chosen options
	flag.StringVar(&chosen.endpoint, "endpoint", os.Getenv("ARM_ENDPOINT"), "the address of Resource Manager")
	flag.StringVar(&chosen.authority, "authority", "", "the address of the token endpoint; the endpoint's without it")
	flag.StringVar(&chosen.subscription, "subscription", "11111111-1111-1111-1111-111111111111", "the subscription's id")
	flag.StringVar(&chosen.group, "resource-group", "go-client", "the resource group")
	flag.StringVar(&chosen.tenant, "tenant", os.Getenv("ARM_TENANT"), "the tenant's id")
	flag.StringVar(&chosen.client, "client-id", os.Getenv("ARM_CLIENT_ID"), "the service principal's client id")
	flag.StringVar(&chosen.secret, "client-secret", os.Getenv("ARM_CLIENT_SECRET"), "its secret; without one a made-up token is sent")
	authorities := flag.String("ca", os.Getenv("REQUESTS_CA_BUNDLE"), "a PEM file of certificate authorities to trust")
	limit := flag.Duration("timeout", 2*time.Minute, "how long everything may take")
	flag.Parse()
	if chosen.authority == "" {
		chosen.authority = chosen.endpoint
	}
	if err := run(chosen, *authorities, *limit); err != nil {
		fmt.Fprintf(os.Stderr, "client: %v\n", err)
		os.Exit(1)
	}
}

func run(chosen options, authorities string, limit time.Duration) error {
	all, err := newClients(chosen, authorities)
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
			clients: all, subscription: chosen.subscription, group: chosen.group, suite: journey.name,
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

// newClients makes the official clients, told of a cloud of our own.
func newClients(chosen options, authorities string) (all clients, err error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return all, err
	}
	if authorities != "" {
		text, err := os.ReadFile(authorities)
		if err != nil {
			return all, err
		}
		if !roots.AppendCertsFromPEM(text) {
			return all, fmt.Errorf("%s has no certificate", authorities)
		}
	}
	transport := &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
		Timeout:   30 * time.Second,
	}
	options := &arm.ClientOptions{
		ClientOptions: policy.ClientOptions{
			Cloud: cloud.Configuration{
				ActiveDirectoryAuthorityHost: chosen.authority,
				Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
					cloud.ResourceManager: {Endpoint: chosen.endpoint, Audience: chosen.endpoint},
				},
			},
			InsecureAllowCredentialWithHTTP: true,
			Transport:                       transport,
			// The service is beside us and no answer of its is to be hidden by a retry.
			Retry: policy.RetryOptions{MaxRetries: -1},
		},
		DisableRPRegistration: true,
	}
	token := &credential{options: chosen, transport: transport}
	if all.factory, err = ml.NewClientFactory(chosen.subscription, token, options); err != nil {
		return all, err
	}
	if all.extensions, err = armkubernetesconfiguration.NewExtensionsClient(chosen.subscription, token, options); err != nil {
		return all, err
	}
	all.resources, err = arm.NewClient("e2e", "v0.0.0", token, options)
	return all, err
}

// credential asks the token endpoint for a service principal's token. The client keeps the answer.
type credential struct {
	options
	transport *http.Client
}

func (c *credential) GetToken(ctx context.Context, asked policy.TokenRequestOptions) (token azcore.AccessToken, err error) {
	if c.secret == "" {
		return azcore.AccessToken{Token: "made-up", ExpiresOn: time.Now().Add(time.Hour)}, nil
	}
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {c.client}, "client_secret": {c.secret},
		"scope": {strings.Join(asked.Scopes, " ")},
	}
	address := strings.TrimSuffix(c.authority, "/") + "/" + c.tenant + "/oauth2/v2.0/token"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return token, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := c.transport.Do(request)
	if err != nil {
		return token, err
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Token   string `json:"access_token"`
		Seconds int64  `json:"expires_in"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return token, err
	}
	if response.StatusCode != http.StatusOK || answer.Token == "" {
		return token, fmt.Errorf("the token endpoint answered %s", response.Status)
	}
	return azcore.AccessToken{Token: answer.Token, ExpiresOn: time.Now().Add(time.Duration(answer.Seconds) * time.Second)}, nil
}
