package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	ml "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"
)

const (
	location = "westeurope"
	provider = "Microsoft.MachineLearningServices"
)

// suites are the journeys.
var suites = []suite{
	{"workspace", workspaceJourney},
	{"compute", computeJourney},
	{"assets", assetJourney},
	{"online", onlineJourney},
	{"batch", batchJourney},
	{"schedule", scheduleJourney},
	{"registry", registryJourney},
}

var (
	created = []int{http.StatusCreated}
	ok      = []int{http.StatusOK}
	later   = []int{http.StatusAccepted}
	gone    = []int{http.StatusNoContent}
	absent  = []string{"ResourceNotFound", "NotFound", "UserError"}
)

// resourceID is the id of something in the suite's resource group.
func (s *steps) resourceID(provider, kind, name string) *string {
	return to.Ptr(fmt.Sprintf("/subscriptions/%s/resourceGroups/%s/providers/%s/%s/%s", s.subscription, s.group, provider, kind, name))
}

// workspace makes a workspace for a journey, and returns its name.
func (s *steps) workspace(ctx context.Context) string {
	name := "go-" + s.suite
	body := ml.Workspace{
		Location: to.Ptr(location),
		Kind:     to.Ptr("Default"),
		Identity: &ml.ManagedServiceIdentity{Type: to.Ptr(ml.ManagedServiceIdentityTypeSystemAssigned)},
		Tags:     map[string]*string{"suite": to.Ptr(s.suite)},
		Properties: &ml.WorkspaceProperties{
			FriendlyName:   to.Ptr("The workspace of " + s.suite),
			StorageAccount: s.resourceID("Microsoft.Storage", "storageAccounts", "gostore"+s.suite),
			KeyVault:       s.resourceID("Microsoft.KeyVault", "vaults", "gokeys"+s.suite),
		},
	}
	result := operate(ctx, s, "a workspace is made", append(ok, later...), begun(func(ctx context.Context) (*poller[ml.WorkspacesClientCreateOrUpdateResponse], error) {
		return s.factory.NewWorkspacesClient().BeginCreateOrUpdate(ctx, s.group, name, body, nil)
	}))
	same(s, "the workspace is as it was asked for", body, result.Workspace)
	return name
}

func workspaceJourney(ctx context.Context, s *steps) {
	client := s.factory.NewWorkspacesClient()
	refused(s, "a workspace that is not there is not found", http.StatusNotFound, absent, func() error {
		_, err := client.Get(ctx, s.group, "go-nowhere", nil)
		return err
	})
	name := s.workspace(ctx)
	found := call(ctx, s, "it is read", ok, func(ctx context.Context) (ml.WorkspacesClientGetResponse, error) {
		return client.Get(ctx, s.group, name, nil)
	})
	if found.Properties != nil {
		expect(s, "it is provisioned", found.Properties.ProvisioningState, ml.ProvisioningStateSucceeded)
		s.step("it has a GUID", func() error {
			if found.Properties.WorkspaceID == nil || len(*found.Properties.WorkspaceID) != 36 {
				return fmt.Errorf("workspaceId is %v", found.Properties.WorkspaceID)
			}
			return nil
		})
	}
	lists(ctx, s, "its resource group lists it", name, true, client.NewListByResourceGroupPager(s.group, nil),
		func(page ml.WorkspacesClientListByResourceGroupResponse) []*string { return workspaceNames(page.Value) })
	lists(ctx, s, "its subscription lists it", name, true, client.NewListBySubscriptionPager(nil),
		func(page ml.WorkspacesClientListBySubscriptionResponse) []*string { return workspaceNames(page.Value) })
	patched := operate(ctx, s, "it is patched", append(ok, later...), begun(func(ctx context.Context) (*poller[ml.WorkspacesClientUpdateResponse], error) {
		return client.BeginUpdate(ctx, s.group, name, ml.WorkspaceUpdateParameters{
			Tags:       map[string]*string{"stage": to.Ptr("test")},
			Properties: &ml.WorkspacePropertiesUpdateParameters{Description: to.Ptr("patched")},
		}, nil)
	}))
	if patched.Properties != nil {
		expect(s, "the patch is in the answer", patched.Properties.Description, "patched")
		expect(s, "what was not patched stays", patched.Properties.FriendlyName, "The workspace of workspace")
	}
	call(ctx, s, "its keys are listed", ok, func(ctx context.Context) (ml.WorkspacesClientListKeysResponse, error) {
		return client.ListKeys(ctx, s.group, name, nil)
	})
	s.datastore(ctx, name)
	operate(ctx, s, "it is deleted", later, begun(func(ctx context.Context) (*poller[ml.WorkspacesClientDeleteResponse], error) {
		return client.BeginDelete(ctx, s.group, name, &ml.WorkspacesClientBeginDeleteOptions{ForceToPurge: to.Ptr(true)})
	}))
	refused(s, "it is gone", http.StatusNotFound, absent, func() error {
		_, err := client.Get(ctx, s.group, name, nil)
		return err
	})
	operate(ctx, s, "deleting it again is no error", gone, begun(func(ctx context.Context) (*poller[ml.WorkspacesClientDeleteResponse], error) {
		return client.BeginDelete(ctx, s.group, name, nil)
	}))
}

func workspaceNames(all []*ml.Workspace) (names []*string) {
	for _, one := range all {
		names = append(names, one.Name)
	}
	return names
}

func (s *steps) datastore(ctx context.Context, workspace string) {
	client := s.factory.NewDatastoresClient()
	body := ml.Datastore{Properties: &ml.AzureBlobDatastore{
		DatastoreType: to.Ptr(ml.DatastoreTypeAzureBlob),
		AccountName:   to.Ptr("mlopsstore"),
		ContainerName: to.Ptr("models"),
		Credentials: &ml.AccountKeyDatastoreCredentials{
			CredentialsType: to.Ptr(ml.CredentialsTypeAccountKey),
			Secrets:         &ml.AccountKeyDatastoreSecrets{SecretsType: to.Ptr(ml.SecretsTypeAccountKey), Key: to.Ptr("a2V5")},
		},
	}}
	call(ctx, s, "a datastore is made", created, func(ctx context.Context) (ml.DatastoresClientCreateOrUpdateResponse, error) {
		return client.CreateOrUpdate(ctx, s.group, workspace, "models", body, nil)
	})
	found := call(ctx, s, "the datastore is read", ok, func(ctx context.Context) (ml.DatastoresClientGetResponse, error) {
		return client.Get(ctx, s.group, workspace, "models", nil)
	})
	s.step("its key is not in the answer", func() error {
		store, isBlob := found.Properties.(*ml.AzureBlobDatastore)
		if !isBlob {
			return fmt.Errorf("the properties are %T", found.Properties)
		}
		credentials, hasKey := store.Credentials.(*ml.AccountKeyDatastoreCredentials)
		if !hasKey {
			return fmt.Errorf("the credentials are %T", store.Credentials)
		}
		if credentials.Secrets != nil && credentials.Secrets.Key != nil {
			return fmt.Errorf("the key was answered")
		}
		return nil
	})
	call(ctx, s, "its secrets are listed", ok, func(ctx context.Context) (ml.DatastoresClientListSecretsResponse, error) {
		return client.ListSecrets(ctx, s.group, workspace, "models", nil)
	})
	call(ctx, s, "the datastore is deleted", ok, func(ctx context.Context) (ml.DatastoresClientDeleteResponse, error) {
		return client.Delete(ctx, s.group, workspace, "models", nil)
	})
}

func computeJourney(ctx context.Context, s *steps) {
	client := s.factory.NewComputeClient()
	workspace := s.workspace(ctx)
	cluster := s.connectedCluster(ctx, "edge")
	bodies := map[string]ml.ComputeResource{
		"cluster": {Location: to.Ptr(location), Properties: &ml.AmlCompute{
			ComputeType: to.Ptr(ml.ComputeTypeAmlCompute),
			Properties: &ml.AmlComputeProperties{
				VMSize:        to.Ptr("Standard_DS3_v2"),
				VMPriority:    to.Ptr(ml.VMPriorityDedicated),
				ScaleSettings: &ml.ScaleSettings{MinNodeCount: to.Ptr[int32](0), MaxNodeCount: to.Ptr[int32](2), NodeIdleTimeBeforeScaleDown: to.Ptr("PT5M")},
			},
		}},
		"instance": {Location: to.Ptr(location), Properties: &ml.ComputeInstance{
			ComputeType: to.Ptr(ml.ComputeTypeComputeInstance),
			Properties:  &ml.ComputeInstanceProperties{VMSize: to.Ptr("Standard_DS3_v2")},
		}},
		"attached": {Location: to.Ptr(location), Properties: &ml.Kubernetes{
			ComputeType: to.Ptr(ml.ComputeTypeKubernetes),
			ResourceID:  cluster,
			Properties:  &ml.KubernetesProperties{Namespace: to.Ptr("ml")},
		}},
	}
	for name, body := range bodies {
		answer := operate(ctx, s, name+" is made", created, begun(func(ctx context.Context) (*poller[ml.ComputeClientCreateOrUpdateResponse], error) {
			return client.BeginCreateOrUpdate(ctx, s.group, workspace, name, body, nil)
		}))
		same(s, name+" is as it was asked for", body, answer.ComputeResource)
		lists(ctx, s, name+" is listed", name, true, client.NewListPager(s.group, workspace, nil), computeNames)
	}
	scaled := operate(ctx, s, "the cluster is scaled", ok, begun(func(ctx context.Context) (*poller[ml.ComputeClientUpdateResponse], error) {
		return client.BeginUpdate(ctx, s.group, workspace, "cluster", ml.ClusterUpdateParameters{
			Properties: &ml.ClusterUpdateProperties{Properties: &ml.ScaleSettingsInformation{ScaleSettings: &ml.ScaleSettings{MaxNodeCount: to.Ptr[int32](4)}}},
		}, nil)
	}))
	if cluster, isCluster := scaled.Properties.(*ml.AmlCompute); isCluster && cluster.Properties.ScaleSettings != nil {
		expect(s, "the cluster has the new maximum", cluster.Properties.ScaleSettings.MaxNodeCount, 4)
	}
	lists(ctx, s, "the cluster's nodes are listed", "none", false, client.NewListNodesPager(s.group, workspace, "cluster", nil),
		func(page ml.ComputeClientListNodesResponse) (names []*string) {
			for _, node := range page.Nodes {
				names = append(names, node.NodeID)
			}
			return names
		})
	operate(ctx, s, "the instance is stopped", later, begun(func(ctx context.Context) (*poller[ml.ComputeClientStopResponse], error) {
		return client.BeginStop(ctx, s.group, workspace, "instance", nil)
	}))
	operate(ctx, s, "the instance is started", later, begun(func(ctx context.Context) (*poller[ml.ComputeClientStartResponse], error) {
		return client.BeginStart(ctx, s.group, workspace, "instance", nil)
	}))
	for name := range bodies {
		action := ml.UnderlyingResourceActionDelete
		if name == "attached" {
			action = ml.UnderlyingResourceActionDetach
		}
		operate(ctx, s, name+" is deleted", later, begun(func(ctx context.Context) (*poller[ml.ComputeClientDeleteResponse], error) {
			return client.BeginDelete(ctx, s.group, workspace, name, action, nil)
		}))
		lists(ctx, s, name+" is no longer listed", name, false, client.NewListPager(s.group, workspace, nil), computeNames)
	}
}

func computeNames(page ml.ComputeClientListResponse) (names []*string) {
	for _, one := range page.Value {
		names = append(names, one.Name)
	}
	return names
}

func assetJourney(ctx context.Context, s *steps) {
	workspace := s.workspace(ctx)
	s.model(ctx, workspace, "churn", "1")
	client := s.factory.NewModelVersionsClient()
	same(s, "the model is as it was asked for", modelBody(), call(ctx, s, "the model is read", ok, func(ctx context.Context) (ml.ModelVersionsClientGetResponse, error) {
		return client.Get(ctx, s.group, workspace, "churn", "1", nil)
	}).ModelVersion)
	call(ctx, s, "the same again is an update", ok, func(ctx context.Context) (ml.ModelVersionsClientCreateOrUpdateResponse, error) {
		return client.CreateOrUpdate(ctx, s.group, workspace, "churn", "1", modelBody(), nil)
	})
	call(ctx, s, "the container has come with the version", ok, func(ctx context.Context) (ml.ModelContainersClientGetResponse, error) {
		return s.factory.NewModelContainersClient().Get(ctx, s.group, workspace, "churn", nil)
	})
	s.model(ctx, workspace, "churn", "2")
	versions := func(page ml.ModelVersionsClientListResponse) (names []*string) {
		for _, one := range page.Value {
			names = append(names, one.Name)
		}
		return names
	}
	lists(ctx, s, "the versions are listed", "2", true, client.NewListPager(s.group, workspace, "churn", nil), versions)
	call(ctx, s, "a version is deleted", ok, func(ctx context.Context) (ml.ModelVersionsClientDeleteResponse, error) {
		return client.Delete(ctx, s.group, workspace, "churn", "2", nil)
	})
	call(ctx, s, "deleting it again is no error", gone, func(ctx context.Context) (ml.ModelVersionsClientDeleteResponse, error) {
		return client.Delete(ctx, s.group, workspace, "churn", "2", nil)
	})
	lists(ctx, s, "the version is no longer listed", "2", false, client.NewListPager(s.group, workspace, "churn", nil), versions)
	environment := ml.EnvironmentVersion{Properties: &ml.EnvironmentVersionProperties{Image: to.Ptr("mcr.example.com/base:1"), OSType: to.Ptr(ml.OperatingSystemTypeLinux)}}
	call(ctx, s, "an environment is made", created, func(ctx context.Context) (ml.EnvironmentVersionsClientCreateOrUpdateResponse, error) {
		return s.factory.NewEnvironmentVersionsClient().CreateOrUpdate(ctx, s.group, workspace, "base", "1", environment, nil)
	})
	data := ml.DataVersionBase{Properties: &ml.URIFolderDataVersion{DataType: to.Ptr(ml.DataTypeURIFolder), DataURI: to.Ptr("azureml://datastores/workspaceblobstore/paths/data/")}}
	call(ctx, s, "a data asset is made", created, func(ctx context.Context) (ml.DataVersionsClientCreateOrUpdateResponse, error) {
		return s.factory.NewDataVersionsClient().CreateOrUpdate(ctx, s.group, workspace, "training", "1", data, nil)
	})
	same(s, "the data asset is as it was asked for", data, call(ctx, s, "the data asset is read", ok, func(ctx context.Context) (ml.DataVersionsClientGetResponse, error) {
		return s.factory.NewDataVersionsClient().Get(ctx, s.group, workspace, "training", "1", nil)
	}).DataVersionBase)
	refused(s, "a model in a workspace that is not there is refused", http.StatusNotFound, []string{"ParentResourceNotFound", "ResourceNotFound"}, func() error {
		_, err := client.CreateOrUpdate(ctx, s.group, "go-nowhere", "churn", "1", modelBody(), nil)
		return err
	})
}

// modelURI is where a model is, so that deployments can run.
func modelURI() string {
	if known := os.Getenv("MODEL_URI"); known != "" {
		return known
	}
	return "azureml://datastores/workspaceblobstore/paths/models/churn/"
}

func modelBody() ml.ModelVersion {
	return ml.ModelVersion{Properties: &ml.ModelVersionProperties{
		ModelURI:    to.Ptr(modelURI()),
		ModelType:   to.Ptr("custom_model"),
		Description: to.Ptr("Will they leave?"),
		Tags:        map[string]*string{"stage": to.Ptr("test")},
		Properties:  map[string]*string{"digest": to.Ptr("sha256:0")},
	}}
}

func (s *steps) model(ctx context.Context, workspace, name, version string) {
	call(ctx, s, "model "+name+" "+version+" is made", created, func(ctx context.Context) (ml.ModelVersionsClientCreateOrUpdateResponse, error) {
		return s.factory.NewModelVersionsClient().CreateOrUpdate(ctx, s.group, workspace, name, version, modelBody(), nil)
	})
}
