package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/kubernetesconfiguration/armkubernetesconfiguration/v2"
)

// connectedCluster connects a cluster as its agents would, and installs the extension that attaching needs.
func (s *steps) connectedCluster(ctx context.Context, name string) *string {
	id := s.resourceID("Microsoft.Kubernetes", "connectedClusters", name)
	s.step("a cluster is connected", func() error {
		body := map[string]any{
			"location":   location,
			"identity":   map[string]any{"type": "SystemAssigned"},
			"properties": map[string]any{"agentPublicKeyCertificate": "dGhlIHB1YmxpYyBrZXk="},
		}
		if _, err := s.send(ctx, http.MethodPut, *id, body); err != nil {
			return err
		}
		return s.provisioned(ctx, *id)
	})
	body := armkubernetesconfiguration.Extension{Properties: &armkubernetesconfiguration.ExtensionProperties{
		ExtensionType:           to.Ptr("Microsoft.AzureML.Kubernetes"),
		AutoUpgradeMinorVersion: to.Ptr(true),
		ReleaseTrain:            to.Ptr("Stable"),
		Scope:                   &armkubernetesconfiguration.Scope{Cluster: &armkubernetesconfiguration.ScopeCluster{ReleaseNamespace: to.Ptr("azureml")}},
		ConfigurationSettings:   map[string]*string{"enableTraining": to.Ptr("True")},
	}}
	answer := operate(ctx, s, "the extension is installed", created, begun(func(ctx context.Context) (*poller[armkubernetesconfiguration.ExtensionsClientCreateResponse], error) {
		return s.extensions.BeginCreate(ctx, s.group, "Microsoft.Kubernetes", "connectedClusters", name, "azureml", body, nil)
	}))
	same(s, "the extension is as it was asked for", body, answer.Extension)
	return id
}

// send makes a call that none of the clients here has.
func (s *steps) send(ctx context.Context, method, id string, body any) (answer map[string]any, err error) {
	request, err := runtime.NewRequest(ctx, method, s.resources.Endpoint()+id+"?api-version=2021-10-01")
	if err != nil {
		return nil, err
	}
	if body != nil {
		if err := runtime.MarshalAsJSON(request, body); err != nil {
			return nil, err
		}
	}
	response, err := s.resources.Pipeline().Do(request)
	if err != nil {
		return nil, err
	}
	if !runtime.HasStatusCode(response, http.StatusOK, http.StatusCreated, http.StatusAccepted) {
		return nil, runtime.NewResponseError(response)
	}
	return answer, runtime.UnmarshalAsJSON(response, &answer)
}

// provisioned waits until a resource says that it is.
func (s *steps) provisioned(ctx context.Context, id string) error {
	for {
		answer, err := s.send(ctx, http.MethodGet, id, nil)
		if err != nil {
			return err
		}
		properties, _ := answer["properties"].(map[string]any)
		if properties["provisioningState"] == "Succeeded" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is %v", id, properties["provisioningState"])
		case <-time.After(between):
		}
	}
}
