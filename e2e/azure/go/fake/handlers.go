package main

import (
	"context"
	"net/http"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	ml "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4/fake"
)

// handle puts the operations into the fake server.
func (s *store) handle(servers *fake.ServerFactory) {
	servers.WorkspacesServer = s.workspaces()
	servers.ComputeServer = s.computes()
	servers.ModelContainersServer = s.modelContainers()
	servers.ModelVersionsServer = s.modelVersions()
	servers.OnlineEndpointsServer = s.onlineEndpoints()
	servers.OnlineDeploymentsServer = s.onlineDeployments()
}

func (s *store) workspaces() fake.WorkspacesServer {
	return fake.WorkspacesServer{
		Get: func(_ context.Context, group, name string, _ *ml.WorkspacesClientGetOptions) (resp azfake.Responder[ml.WorkspacesClientGetResponse], refused azfake.ErrorResponder) {
			found, refused, ok := read[*ml.Workspace](s, key(group, "workspaces", name))
			if !ok {
				return resp, refused
			}
			return answer(http.StatusOK, ml.WorkspacesClientGetResponse{Workspace: *found}), refused
		},
		NewListByResourceGroupPager: func(group string, _ *ml.WorkspacesClientListByResourceGroupOptions) (pages azfake.PagerResponder[ml.WorkspacesClientListByResourceGroupResponse]) {
			pages.AddPage(http.StatusOK, ml.WorkspacesClientListByResourceGroupResponse{WorkspaceListResult: ml.WorkspaceListResult{Value: list[ml.Workspace](s, key(group, "workspaces"))}}, nil)
			return pages
		},
		BeginCreateOrUpdate: func(ctx context.Context, group, name string, body ml.Workspace, _ *ml.WorkspacesClientBeginCreateOrUpdateOptions) (resp azfake.PollerResponder[ml.WorkspacesClientCreateOrUpdateResponse], refused azfake.ErrorResponder) {
			if body.Location == nil || body.Properties == nil {
				return resp, refusal(http.StatusBadRequest, "LocationRequired")
			}
			head := identify(ctx, group, "workspaces", name)
			body.ID, body.Name, body.Type = head.id, head.name, head.kind
			body.Properties.WorkspaceID = to.Ptr("8c6f2b6e-6f0f-4f0e-9d6b-0d2a6c6f7a11")
			body.Properties.ProvisioningState = to.Ptr(ml.ProvisioningStateCreating)
			s.put(key(group, "workspaces", name), &body, func(state string) {
				body.Properties.ProvisioningState = to.Ptr(ml.ProvisioningState(state))
			})
			return begin(s, http.StatusAccepted, http.StatusOK, ml.WorkspacesClientCreateOrUpdateResponse{Workspace: body}), refused
		},
		BeginUpdate: func(_ context.Context, group, name string, body ml.WorkspaceUpdateParameters, _ *ml.WorkspacesClientBeginUpdateOptions) (resp azfake.PollerResponder[ml.WorkspacesClientUpdateResponse], refused azfake.ErrorResponder) {
			found, refused, ok := read[*ml.Workspace](s, key(group, "workspaces", name))
			if !ok {
				return resp, refused
			}
			if body.Tags != nil {
				found.Tags = body.Tags
			}
			if properties := body.Properties; properties != nil {
				replace(&found.Properties.Description, properties.Description)
				replace(&found.Properties.FriendlyName, properties.FriendlyName)
				replace(&found.Properties.PublicNetworkAccess, properties.PublicNetworkAccess)
				replace(&found.Properties.ImageBuildCompute, properties.ImageBuildCompute)
			}
			found.Properties.ProvisioningState = to.Ptr(ml.ProvisioningStateUpdating)
			return begin(s, http.StatusAccepted, http.StatusOK, ml.WorkspacesClientUpdateResponse{Workspace: *found}), refused
		},
		BeginDelete: func(_ context.Context, group, name string, _ *ml.WorkspacesClientBeginDeleteOptions) (resp azfake.PollerResponder[ml.WorkspacesClientDeleteResponse], refused azfake.ErrorResponder) {
			return remove(s, key(group, "workspaces", name), ml.WorkspacesClientDeleteResponse{}), refused
		},
	}
}

func (s *store) computes() fake.ComputeServer {
	return fake.ComputeServer{
		Get: func(_ context.Context, group, workspace, name string, _ *ml.ComputeClientGetOptions) (resp azfake.Responder[ml.ComputeClientGetResponse], refused azfake.ErrorResponder) {
			found, refused, ok := read[*ml.ComputeResource](s, key(group, "workspaces", workspace, "computes", name))
			if !ok {
				return resp, refused
			}
			return answer(http.StatusOK, ml.ComputeClientGetResponse{ComputeResource: *found}), refused
		},
		NewListPager: func(group, workspace string, _ *ml.ComputeClientListOptions) (pages azfake.PagerResponder[ml.ComputeClientListResponse]) {
			pages.AddPage(http.StatusOK, ml.ComputeClientListResponse{PaginatedComputeResourcesList: ml.PaginatedComputeResourcesList{Value: list[ml.ComputeResource](s, key(group, "workspaces", workspace, "computes"))}}, nil)
			return pages
		},
		BeginCreateOrUpdate: func(ctx context.Context, group, workspace, name string, body ml.ComputeResource, _ *ml.ComputeClientBeginCreateOrUpdateOptions) (resp azfake.PollerResponder[ml.ComputeClientCreateOrUpdateResponse], refused azfake.ErrorResponder) {
			if body.Properties == nil {
				return resp, refusal(http.StatusBadRequest, "BadRequest")
			}
			if !s.has(key(group, "workspaces", workspace)) {
				return resp, refusal(http.StatusNotFound, "ParentResourceNotFound")
			}
			head := identify(ctx, group, "workspaces", workspace, "computes", name)
			body.ID, body.Name, body.Type = head.id, head.name, head.kind
			setState := func(state string) { setComputeState(body.Properties, state) }
			setState("Creating")
			s.put(key(group, "workspaces", workspace, "computes", name), &body, setState)
			return begin(s, http.StatusCreated, http.StatusOK, ml.ComputeClientCreateOrUpdateResponse{ComputeResource: body}), refused
		},
		BeginDelete: func(_ context.Context, group, workspace, name string, _ ml.UnderlyingResourceAction, _ *ml.ComputeClientBeginDeleteOptions) (resp azfake.PollerResponder[ml.ComputeClientDeleteResponse], refused azfake.ErrorResponder) {
			return remove(s, key(group, "workspaces", workspace, "computes", name), ml.ComputeClientDeleteResponse{}), refused
		},
	}
}

func (s *store) modelContainers() fake.ModelContainersServer {
	return fake.ModelContainersServer{
		Get: func(_ context.Context, group, workspace, name string, _ *ml.ModelContainersClientGetOptions) (resp azfake.Responder[ml.ModelContainersClientGetResponse], refused azfake.ErrorResponder) {
			found, refused, ok := read[*ml.ModelContainer](s, key(group, "workspaces", workspace, "models", name))
			if !ok {
				return resp, refused
			}
			return answer(http.StatusOK, ml.ModelContainersClientGetResponse{ModelContainer: *found}), refused
		},
		CreateOrUpdate: func(ctx context.Context, group, workspace, name string, body ml.ModelContainer, _ *ml.ModelContainersClientCreateOrUpdateOptions) (resp azfake.Responder[ml.ModelContainersClientCreateOrUpdateResponse], refused azfake.ErrorResponder) {
			if !s.has(key(group, "workspaces", workspace)) {
				return resp, refusal(http.StatusNotFound, "ParentResourceNotFound")
			}
			isNew := s.putModelContainer(ctx, group, workspace, name, &body)
			return answer(createdOr200(isNew), ml.ModelContainersClientCreateOrUpdateResponse{ModelContainer: body}), refused
		},
		Delete: func(_ context.Context, group, workspace, name string, _ *ml.ModelContainersClientDeleteOptions) (resp azfake.Responder[ml.ModelContainersClientDeleteResponse], refused azfake.ErrorResponder) {
			status := http.StatusNoContent
			if s.remove(key(group, "workspaces", workspace, "models", name)) {
				status = http.StatusOK
			}
			return answer(status, ml.ModelContainersClientDeleteResponse{}), refused
		},
	}
}

func (s *store) putModelContainer(ctx context.Context, group, workspace, name string, body *ml.ModelContainer) bool {
	head := identify(ctx, group, "workspaces", workspace, "models", name)
	body.ID, body.Name, body.Type = head.id, head.name, head.kind
	return s.put(key(group, "workspaces", workspace, "models", name), body, func(string) {})
}

func (s *store) modelVersions() fake.ModelVersionsServer {
	return fake.ModelVersionsServer{
		Get: func(_ context.Context, group, workspace, name, version string, _ *ml.ModelVersionsClientGetOptions) (resp azfake.Responder[ml.ModelVersionsClientGetResponse], refused azfake.ErrorResponder) {
			found, refused, ok := read[*ml.ModelVersion](s, key(group, "workspaces", workspace, "models", name, "versions", version))
			if !ok {
				return resp, refused
			}
			return answer(http.StatusOK, ml.ModelVersionsClientGetResponse{ModelVersion: *found}), refused
		},
		NewListPager: func(group, workspace, name string, _ *ml.ModelVersionsClientListOptions) (pages azfake.PagerResponder[ml.ModelVersionsClientListResponse]) {
			pages.AddPage(http.StatusOK, ml.ModelVersionsClientListResponse{ModelVersionResourceArmPaginatedResult: ml.ModelVersionResourceArmPaginatedResult{Value: list[ml.ModelVersion](s, key(group, "workspaces", workspace, "models", name, "versions"))}}, nil)
			return pages
		},
		CreateOrUpdate: func(ctx context.Context, group, workspace, name, version string, body ml.ModelVersion, _ *ml.ModelVersionsClientCreateOrUpdateOptions) (resp azfake.Responder[ml.ModelVersionsClientCreateOrUpdateResponse], refused azfake.ErrorResponder) {
			if !s.has(key(group, "workspaces", workspace)) {
				return resp, refusal(http.StatusNotFound, "ParentResourceNotFound")
			}
			if body.Properties == nil {
				return resp, refusal(http.StatusBadRequest, "BadRequest")
			}
			at := key(group, "workspaces", workspace, "models", name, "versions", version)
			if old, _, ok := read[*ml.ModelVersion](s, at); ok && *old.Properties.ModelURI != *body.Properties.ModelURI {
				return resp, refusal(http.StatusBadRequest, "UserError")
			}
			if container := key(group, "workspaces", workspace, "models", name); !s.has(container) {
				s.putModelContainer(ctx, group, workspace, name, &ml.ModelContainer{Properties: &ml.ModelContainerProperties{LatestVersion: to.Ptr(version)}})
			}
			head := identify(ctx, group, "workspaces", workspace, "models", name, "versions", version)
			body.ID, body.Name, body.Type = head.id, head.name, head.kind
			if body.Properties.Flavors == nil {
				body.Properties.Flavors = map[string]*ml.FlavorData{}
			}
			isNew := s.put(at, &body, func(string) {})
			return answer(createdOr200(isNew), ml.ModelVersionsClientCreateOrUpdateResponse{ModelVersion: body}), refused
		},
		Delete: func(_ context.Context, group, workspace, name, version string, _ *ml.ModelVersionsClientDeleteOptions) (resp azfake.Responder[ml.ModelVersionsClientDeleteResponse], refused azfake.ErrorResponder) {
			status := http.StatusNoContent
			if s.remove(key(group, "workspaces", workspace, "models", name, "versions", version)) {
				status = http.StatusOK
			}
			return answer(status, ml.ModelVersionsClientDeleteResponse{}), refused
		},
	}
}

// remove is the deletion of what is at a key: an operation, or nothing to do.
func remove[R any](s *store, at string, result R) azfake.PollerResponder[R] {
	if s.leave(at) {
		return begin(s, http.StatusAccepted, http.StatusNoContent, result)
	}
	var nothing azfake.PollerResponder[R]
	nothing.SetTerminalResponse(http.StatusNoContent, result, nil)
	return nothing
}

// replace takes a value over when there is one.
func replace[T any](old **T, value *T) {
	if value != nil {
		*old = value
	}
}

// setComputeState writes into the kind of compute at hand: the common part that Go offers is a copy.
func setComputeState(properties ml.ComputeClassification, state string) {
	value := to.Ptr(ml.ProvisioningState(state))
	switch properties := properties.(type) {
	case *ml.AmlCompute:
		properties.ProvisioningState = value
	case *ml.ComputeInstance:
		properties.ProvisioningState = value
	case *ml.Kubernetes:
		properties.ProvisioningState = value
	}
}
