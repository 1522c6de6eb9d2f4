package main

import (
	"context"
	"net/http"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	ml "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4/fake"
)

func endpointKey(group, workspace, name string) string {
	return key(group, "workspaces", workspace, "onlineEndpoints", name)
}

func (s *store) onlineEndpoints() fake.OnlineEndpointsServer {
	return fake.OnlineEndpointsServer{
		Get: func(_ context.Context, group, workspace, name string, _ *ml.OnlineEndpointsClientGetOptions) (resp azfake.Responder[ml.OnlineEndpointsClientGetResponse], refused azfake.ErrorResponder) {
			found, refused, ok := read[*ml.OnlineEndpoint](s, endpointKey(group, workspace, name))
			if !ok {
				return resp, refused
			}
			return answer(http.StatusOK, ml.OnlineEndpointsClientGetResponse{OnlineEndpoint: *found}), refused
		},
		NewListPager: func(group, workspace string, _ *ml.OnlineEndpointsClientListOptions) (pages azfake.PagerResponder[ml.OnlineEndpointsClientListResponse]) {
			pages.AddPage(http.StatusOK, ml.OnlineEndpointsClientListResponse{OnlineEndpointTrackedResourceArmPaginatedResult: ml.OnlineEndpointTrackedResourceArmPaginatedResult{Value: list[ml.OnlineEndpoint](s, key(group, "workspaces", workspace, "onlineEndpoints"))}}, nil)
			return pages
		},
		BeginCreateOrUpdate: func(ctx context.Context, group, workspace, name string, body ml.OnlineEndpoint, _ *ml.OnlineEndpointsClientBeginCreateOrUpdateOptions) (resp azfake.PollerResponder[ml.OnlineEndpointsClientCreateOrUpdateResponse], refused azfake.ErrorResponder) {
			if !s.has(key(group, "workspaces", workspace)) {
				return resp, refusal(http.StatusNotFound, "ParentResourceNotFound")
			}
			if body.Properties == nil || body.Properties.AuthMode == nil {
				return resp, refusal(http.StatusBadRequest, "BadRequest")
			}
			var sum int32
			for deployment, share := range body.Properties.Traffic {
				sum += *share
				if !s.has(endpointKey(group, workspace, name) + key("deployments", deployment)) {
					return resp, refusal(http.StatusBadRequest, "TrafficToUnknownDeployment")
				}
			}
			if sum != 0 && sum != 100 {
				return resp, refusal(http.StatusBadRequest, "TrafficNotHundred")
			}
			head := identify(ctx, group, "workspaces", workspace, "onlineEndpoints", name)
			body.ID, body.Name, body.Type = head.id, head.name, head.kind
			body.Properties.Keys = nil
			body.Properties.ScoringURI = to.Ptr("https://" + name + ".westeurope.inference.ml.azure.com/score")
			body.Properties.ProvisioningState = to.Ptr(ml.EndpointProvisioningStateCreating)
			s.put(endpointKey(group, workspace, name), &body, func(state string) {
				body.Properties.ProvisioningState = to.Ptr(ml.EndpointProvisioningState(state))
			})
			return begin(s, http.StatusCreated, http.StatusOK, ml.OnlineEndpointsClientCreateOrUpdateResponse{OnlineEndpoint: body}), refused
		},
		BeginDelete: func(_ context.Context, group, workspace, name string, _ *ml.OnlineEndpointsClientBeginDeleteOptions) (resp azfake.PollerResponder[ml.OnlineEndpointsClientDeleteResponse], refused azfake.ErrorResponder) {
			return remove(s, endpointKey(group, workspace, name), ml.OnlineEndpointsClientDeleteResponse{}), refused
		},
		ListKeys: func(_ context.Context, group, workspace, name string, _ *ml.OnlineEndpointsClientListKeysOptions) (resp azfake.Responder[ml.OnlineEndpointsClientListKeysResponse], refused azfake.ErrorResponder) {
			_, refused, ok := read[*ml.OnlineEndpoint](s, endpointKey(group, workspace, name))
			if !ok {
				return resp, refused
			}
			keys := ml.EndpointAuthKeys{PrimaryKey: to.Ptr(name + "-primary"), SecondaryKey: to.Ptr(name + "-secondary")}
			return answer(http.StatusOK, ml.OnlineEndpointsClientListKeysResponse{EndpointAuthKeys: keys}), refused
		},
	}
}

func (s *store) onlineDeployments() fake.OnlineDeploymentsServer {
	at := func(group, workspace, endpoint, name string) string {
		return endpointKey(group, workspace, endpoint) + key("deployments", name)
	}
	return fake.OnlineDeploymentsServer{
		Get: func(_ context.Context, group, workspace, endpoint, name string, _ *ml.OnlineDeploymentsClientGetOptions) (resp azfake.Responder[ml.OnlineDeploymentsClientGetResponse], refused azfake.ErrorResponder) {
			found, refused, ok := read[*ml.OnlineDeployment](s, at(group, workspace, endpoint, name))
			if !ok {
				return resp, refused
			}
			return answer(http.StatusOK, ml.OnlineDeploymentsClientGetResponse{OnlineDeployment: *found}), refused
		},
		NewListPager: func(group, workspace, endpoint string, _ *ml.OnlineDeploymentsClientListOptions) (pages azfake.PagerResponder[ml.OnlineDeploymentsClientListResponse]) {
			pages.AddPage(http.StatusOK, ml.OnlineDeploymentsClientListResponse{OnlineDeploymentTrackedResourceArmPaginatedResult: ml.OnlineDeploymentTrackedResourceArmPaginatedResult{Value: list[ml.OnlineDeployment](s, endpointKey(group, workspace, endpoint)+"/deployments")}}, nil)
			return pages
		},
		BeginCreateOrUpdate: func(ctx context.Context, group, workspace, endpoint, name string, body ml.OnlineDeployment, _ *ml.OnlineDeploymentsClientBeginCreateOrUpdateOptions) (resp azfake.PollerResponder[ml.OnlineDeploymentsClientCreateOrUpdateResponse], refused azfake.ErrorResponder) {
			if !s.has(endpointKey(group, workspace, endpoint)) {
				return resp, refusal(http.StatusNotFound, "ParentResourceNotFound")
			}
			if body.Properties == nil {
				return resp, refusal(http.StatusBadRequest, "BadRequest")
			}
			head := identify(ctx, group, "workspaces", workspace, "onlineEndpoints", endpoint, "deployments", name)
			body.ID, body.Name, body.Type = head.id, head.name, head.kind
			setState := func(state string) { setDeploymentState(body.Properties, state) }
			setState("Creating")
			s.put(at(group, workspace, endpoint, name), &body, setState)
			return begin(s, http.StatusCreated, http.StatusOK, ml.OnlineDeploymentsClientCreateOrUpdateResponse{OnlineDeployment: body}), refused
		},
		BeginUpdate: func(_ context.Context, group, workspace, endpoint, name string, body ml.PartialMinimalTrackedResourceWithSKU, _ *ml.OnlineDeploymentsClientBeginUpdateOptions) (resp azfake.PollerResponder[ml.OnlineDeploymentsClientUpdateResponse], refused azfake.ErrorResponder) {
			found, refused, ok := read[*ml.OnlineDeployment](s, at(group, workspace, endpoint, name))
			if !ok {
				return resp, refused
			}
			if body.Tags != nil {
				found.Tags = body.Tags
			}
			if body.SKU != nil && found.SKU != nil {
				replace(&found.SKU.Capacity, body.SKU.Capacity)
			}
			setDeploymentState(found.Properties, "Scaling")
			return begin(s, http.StatusAccepted, http.StatusOK, ml.OnlineDeploymentsClientUpdateResponse{OnlineDeployment: *found}), refused
		},
		BeginDelete: func(_ context.Context, group, workspace, endpoint, name string, _ *ml.OnlineDeploymentsClientBeginDeleteOptions) (resp azfake.PollerResponder[ml.OnlineDeploymentsClientDeleteResponse], refused azfake.ErrorResponder) {
			if owner, _, ok := read[*ml.OnlineEndpoint](s, endpointKey(group, workspace, endpoint)); ok {
				if share := owner.Properties.Traffic[name]; share != nil && *share > 0 {
					return resp, refusal(http.StatusBadRequest, "DeploymentHasTraffic")
				}
			}
			return remove(s, at(group, workspace, endpoint, name), ml.OnlineDeploymentsClientDeleteResponse{}), refused
		},
		GetLogs: func(_ context.Context, group, workspace, endpoint, name string, _ ml.DeploymentLogsRequest, _ *ml.OnlineDeploymentsClientGetLogsOptions) (resp azfake.Responder[ml.OnlineDeploymentsClientGetLogsResponse], refused azfake.ErrorResponder) {
			_, refused, ok := read[*ml.OnlineDeployment](s, at(group, workspace, endpoint, name))
			if !ok {
				return resp, refused
			}
			logs := ml.DeploymentLogs{Content: to.Ptr("the logs of " + name)}
			return answer(http.StatusOK, ml.OnlineDeploymentsClientGetLogsResponse{DeploymentLogs: logs}), refused
		},
	}
}

// setDeploymentState writes into the kind of deployment at hand: the common part that Go offers is a copy.
func setDeploymentState(properties ml.OnlineDeploymentPropertiesClassification, state string) {
	value := to.Ptr(ml.DeploymentProvisioningState(state))
	switch properties := properties.(type) {
	case *ml.ManagedOnlineDeployment:
		properties.ProvisioningState = value
	case *ml.KubernetesOnlineDeployment:
		properties.ProvisioningState = value
	}
}
