package main

import (
	"context"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	ml "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"
)

type poller[R any] = runtime.Poller[R]

// begun only helps the compiler to infer the type of a result.
func begun[R any](work func(context.Context) (*poller[R], error)) func(context.Context) (*poller[R], error) {
	return work
}

func onlineJourney(ctx context.Context, s *steps) {
	client, workspace, name := s.factory.NewOnlineEndpointsClient(), s.workspace(ctx), "go-online"
	body := ml.OnlineEndpoint{
		Location:   to.Ptr(location),
		Identity:   &ml.ManagedServiceIdentity{Type: to.Ptr(ml.ManagedServiceIdentityTypeSystemAssigned)},
		Properties: &ml.OnlineEndpointProperties{AuthMode: to.Ptr(ml.EndpointAuthModeKey), Description: to.Ptr("scores")},
	}
	put := func(ctx context.Context) (*poller[ml.OnlineEndpointsClientCreateOrUpdateResponse], error) {
		return client.BeginCreateOrUpdate(ctx, s.group, workspace, name, body, nil)
	}
	made := operate(ctx, s, "an endpoint is made", created, put)
	same(s, "it is as it was asked for", body, made.OnlineEndpoint)
	s.step("it has a scoring URI", func() error {
		if made.Properties == nil || made.Properties.ScoringURI == nil {
			return errMissing
		}
		return nil
	})
	s.model(ctx, workspace, "churn", "1")
	s.deployments(ctx, workspace, name)
	body.Properties.Traffic = map[string]*int32{"blue": to.Ptr[int32](90), "green": to.Ptr[int32](10)}
	split := operate(ctx, s, "traffic is split", append(ok, created...), put)
	same(s, "the split is in the answer", body, split.OnlineEndpoint)
	body.Properties.Traffic = map[string]*int32{"blue": to.Ptr[int32](90), "green": to.Ptr[int32](90)}
	s.step("traffic beyond 100 is refused", func() error { return mustFail(put(ctx)) })
	body.Properties.Traffic = map[string]*int32{"blue": to.Ptr[int32](100), "green": to.Ptr[int32](0)}
	s.step("a deployment with traffic is not deleted", func() error {
		return mustFail(s.factory.NewOnlineDeploymentsClient().BeginDelete(ctx, s.group, workspace, name, "blue", nil))
	})
	operate(ctx, s, "traffic is moved", append(ok, created...), put)
	operate(ctx, s, "the deployment without traffic is deleted", later, begun(func(ctx context.Context) (*poller[ml.OnlineDeploymentsClientDeleteResponse], error) {
		return s.factory.NewOnlineDeploymentsClient().BeginDelete(ctx, s.group, workspace, name, "green", nil)
	}))
	s.keys(ctx, workspace, name)
	operate(ctx, s, "the endpoint is patched", append(ok, later...), begun(func(ctx context.Context) (*poller[ml.OnlineEndpointsClientUpdateResponse], error) {
		return client.BeginUpdate(ctx, s.group, workspace, name, ml.PartialMinimalTrackedResourceWithIdentity{Tags: map[string]*string{"stage": to.Ptr("test")}}, nil)
	}))
	lists(ctx, s, "the endpoint is listed", name, true, client.NewListPager(s.group, workspace, nil),
		func(page ml.OnlineEndpointsClientListResponse) (names []*string) {
			for _, one := range page.Value {
				names = append(names, one.Name)
			}
			return names
		})
	operate(ctx, s, "the endpoint is deleted", later, begun(func(ctx context.Context) (*poller[ml.OnlineEndpointsClientDeleteResponse], error) {
		return client.BeginDelete(ctx, s.group, workspace, name, nil)
	}))
	refused(s, "its deployments went with it", http.StatusNotFound, append(absent, "ParentResourceNotFound"), func() error {
		_, err := s.factory.NewOnlineDeploymentsClient().Get(ctx, s.group, workspace, name, "blue", nil)
		return err
	})
}

// deployments makes two, and changes one.
func (s *steps) deployments(ctx context.Context, workspace, endpoint string) {
	client := s.factory.NewOnlineDeploymentsClient()
	for _, name := range []string{"blue", "green"} {
		body := ml.OnlineDeployment{
			Location: to.Ptr(location),
			SKU:      &ml.SKU{Name: to.Ptr("Default"), Capacity: to.Ptr[int32](1)},
			Properties: &ml.ManagedOnlineDeployment{
				EndpointComputeType:  to.Ptr(ml.EndpointComputeTypeManaged),
				Model:                s.resourceID(provider, "workspaces/"+workspace+"/models/churn/versions", "1"),
				InstanceType:         to.Ptr("Standard_DS3_v2"),
				EnvironmentVariables: map[string]*string{"LOG_LEVEL": to.Ptr("info")},
				RequestSettings:      &ml.OnlineRequestSettings{RequestTimeout: to.Ptr("PT5S"), MaxConcurrentRequestsPerInstance: to.Ptr[int32](1)},
				ScaleSettings:        &ml.DefaultScaleSettings{ScaleType: to.Ptr(ml.ScaleTypeDefault)},
			},
		}
		answer := operate(ctx, s, "deployment "+name+" is made", created, begun(func(ctx context.Context) (*poller[ml.OnlineDeploymentsClientCreateOrUpdateResponse], error) {
			return client.BeginCreateOrUpdate(ctx, s.group, workspace, endpoint, name, body, nil)
		}))
		same(s, "deployment "+name+" is as it was asked for", body, answer.OnlineDeployment)
	}
	scaled := operate(ctx, s, "deployment blue is scaled", append(ok, later...), begun(func(ctx context.Context) (*poller[ml.OnlineDeploymentsClientUpdateResponse], error) {
		return client.BeginUpdate(ctx, s.group, workspace, endpoint, "blue", ml.PartialMinimalTrackedResourceWithSKU{SKU: &ml.PartialSKU{Capacity: to.Ptr[int32](2)}}, nil)
	}))
	if scaled.SKU != nil {
		expect(s, "deployment blue has two instances", scaled.SKU.Capacity, 2)
	}
	call(ctx, s, "its logs are read", ok, func(ctx context.Context) (ml.OnlineDeploymentsClientGetLogsResponse, error) {
		return client.GetLogs(ctx, s.group, workspace, endpoint, "blue", ml.DeploymentLogsRequest{ContainerType: to.Ptr(ml.ContainerTypeInferenceServer), Tail: to.Ptr[int32](10)}, nil)
	})
	lists(ctx, s, "the deployments are listed", "green", true, client.NewListPager(s.group, workspace, endpoint, nil),
		func(page ml.OnlineDeploymentsClientListResponse) (names []*string) {
			for _, one := range page.Value {
				names = append(names, one.Name)
			}
			return names
		})
}

// keys lists them and makes new ones.
func (s *steps) keys(ctx context.Context, workspace, endpoint string) {
	client := s.factory.NewOnlineEndpointsClient()
	list := func(ctx context.Context) (ml.OnlineEndpointsClientListKeysResponse, error) {
		return client.ListKeys(ctx, s.group, workspace, endpoint, nil)
	}
	before := call(ctx, s, "the keys are listed", ok, list)
	operate(ctx, s, "the primary key is made anew", append(ok, later...), begun(func(ctx context.Context) (*poller[ml.OnlineEndpointsClientRegenerateKeysResponse], error) {
		return client.BeginRegenerateKeys(ctx, s.group, workspace, endpoint, ml.RegenerateEndpointKeysRequest{KeyType: to.Ptr(ml.KeyTypePrimary)}, nil)
	}))
	after := call(ctx, s, "the keys are listed again", ok, list)
	s.step("the primary key alone is another", func() error {
		if before.PrimaryKey == nil || after.PrimaryKey == nil || before.SecondaryKey == nil || after.SecondaryKey == nil {
			return errMissing
		}
		if *before.PrimaryKey == *after.PrimaryKey || *before.SecondaryKey != *after.SecondaryKey {
			return errUnchanged
		}
		return nil
	})
}

func batchJourney(ctx context.Context, s *steps) {
	workspace, name := s.workspace(ctx), "go-batch"
	endpoints, deployments := s.factory.NewBatchEndpointsClient(), s.factory.NewBatchDeploymentsClient()
	body := ml.BatchEndpoint{Location: to.Ptr(location), Properties: &ml.BatchEndpointProperties{AuthMode: to.Ptr(ml.EndpointAuthModeAADToken)}}
	put := func(ctx context.Context) (*poller[ml.BatchEndpointsClientCreateOrUpdateResponse], error) {
		return endpoints.BeginCreateOrUpdate(ctx, s.group, workspace, name, body, nil)
	}
	same(s, "the endpoint is as it was asked for", body, operate(ctx, s, "an endpoint is made", created, put).BatchEndpoint)
	s.model(ctx, workspace, "churn", "1")
	deployment := ml.BatchDeployment{Location: to.Ptr(location), Properties: &ml.BatchDeploymentProperties{
		Model:         &ml.IDAssetReference{ReferenceType: to.Ptr(ml.ReferenceTypeID), AssetID: s.resourceID(provider, "workspaces/"+workspace+"/models/churn/versions", "1")},
		Resources:     &ml.DeploymentResourceConfiguration{InstanceCount: to.Ptr[int32](1)},
		MiniBatchSize: to.Ptr[int64](10),
		OutputAction:  to.Ptr(ml.BatchOutputActionAppendRow),
		RetrySettings: &ml.BatchRetrySettings{MaxRetries: to.Ptr[int32](3), Timeout: to.Ptr("PT30S")},
	}}
	answer := operate(ctx, s, "a deployment is made", created, begun(func(ctx context.Context) (*poller[ml.BatchDeploymentsClientCreateOrUpdateResponse], error) {
		return deployments.BeginCreateOrUpdate(ctx, s.group, workspace, name, "first", deployment, nil)
	}))
	same(s, "the deployment is as it was asked for", deployment, answer.BatchDeployment)
	body.Properties.Defaults = &ml.BatchEndpointDefaults{DeploymentName: to.Ptr("first")}
	same(s, "the default is in the answer", body, operate(ctx, s, "it becomes the default", ok, put).BatchEndpoint)
	operate(ctx, s, "the deployment is patched", append(ok, later...), begun(func(ctx context.Context) (*poller[ml.BatchDeploymentsClientUpdateResponse], error) {
		return deployments.BeginUpdate(ctx, s.group, workspace, name, "first", ml.PartialBatchDeploymentPartialMinimalTrackedResourceWithProperties{Properties: &ml.PartialBatchDeployment{Description: to.Ptr("patched")}}, nil)
	}))
	operate(ctx, s, "the endpoint is deleted", later, begun(func(ctx context.Context) (*poller[ml.BatchEndpointsClientDeleteResponse], error) {
		return endpoints.BeginDelete(ctx, s.group, workspace, name, nil)
	}))
	refused(s, "the endpoint is gone", http.StatusNotFound, absent, func() error {
		_, err := endpoints.Get(ctx, s.group, workspace, name, nil)
		return err
	})
}

func scheduleJourney(ctx context.Context, s *steps) {
	workspace, client := s.workspace(ctx), s.factory.NewSchedulesClient()
	body := ml.Schedule{Properties: &ml.ScheduleProperties{
		DisplayName: to.Ptr("nightly"),
		Trigger:     &ml.CronTrigger{TriggerType: to.Ptr(ml.TriggerTypeCron), Expression: to.Ptr("0 3 * * *"), TimeZone: to.Ptr("UTC")},
		Action: &ml.JobScheduleAction{ActionType: to.Ptr(ml.ScheduleActionTypeCreateJob), JobDefinition: &ml.CommandJob{
			JobType:       to.Ptr(ml.JobTypeCommand),
			Command:       to.Ptr("echo trained"),
			EnvironmentID: s.resourceID(provider, "workspaces/"+workspace+"/environments/base/versions", "1"),
		}},
	}}
	put := func(ctx context.Context) (*poller[ml.SchedulesClientCreateOrUpdateResponse], error) {
		return client.BeginCreateOrUpdate(ctx, s.group, workspace, "nightly", body, nil)
	}
	same(s, "the schedule is as it was asked for", body, operate(ctx, s, "a schedule is made", created, put).Schedule)
	body.Properties.IsEnabled = to.Ptr(false)
	same(s, "it is disabled", body, operate(ctx, s, "it is changed", ok, put).Schedule)
	names := func(page ml.SchedulesClientListResponse) (names []*string) {
		for _, one := range page.Value {
			names = append(names, one.Name)
		}
		return names
	}
	disabled, enabled := ml.ScheduleListViewTypeDisabledOnly, ml.ScheduleListViewTypeEnabledOnly
	lists(ctx, s, "it is among the disabled", "nightly", true, client.NewListPager(s.group, workspace, &ml.SchedulesClientListOptions{ListViewType: &disabled}), names)
	lists(ctx, s, "it is not among the enabled", "nightly", false, client.NewListPager(s.group, workspace, &ml.SchedulesClientListOptions{ListViewType: &enabled}), names)
	operate(ctx, s, "it is deleted", later, begun(func(ctx context.Context) (*poller[ml.SchedulesClientDeleteResponse], error) {
		return client.BeginDelete(ctx, s.group, workspace, "nightly", nil)
	}))
}

func registryJourney(ctx context.Context, s *steps) {
	client, name := s.factory.NewRegistriesClient(), "go-registry"
	body := ml.Registry{
		Location: to.Ptr(location),
		Identity: &ml.ManagedServiceIdentity{Type: to.Ptr(ml.ManagedServiceIdentityTypeSystemAssigned)},
		Properties: &ml.RegistryProperties{RegionDetails: []*ml.RegistryRegionArmDetails{{
			Location:              to.Ptr(location),
			AcrDetails:            []*ml.AcrDetails{{SystemCreatedAcrAccount: &ml.SystemCreatedAcrAccount{AcrAccountSKU: to.Ptr("Premium")}}},
			StorageAccountDetails: []*ml.StorageAccountDetails{{SystemCreatedStorageAccount: &ml.SystemCreatedStorageAccount{StorageAccountType: to.Ptr("Standard_LRS")}}},
		}}},
	}
	made := operate(ctx, s, "a registry is made", created, begun(func(ctx context.Context) (*poller[ml.RegistriesClientCreateOrUpdateResponse], error) {
		return client.BeginCreateOrUpdate(ctx, s.group, name, body, nil)
	}))
	if made.Properties != nil && len(made.Properties.RegionDetails) == 1 {
		expect(s, "it has its region", made.Properties.RegionDetails[0].Location, location)
	}
	version := operate(ctx, s, "a model is put into it", created, begun(func(ctx context.Context) (*poller[ml.RegistryModelVersionsClientCreateOrUpdateResponse], error) {
		return s.factory.NewRegistryModelVersionsClient().BeginCreateOrUpdate(ctx, s.group, name, "put", "1", modelBody(), nil)
	}))
	same(s, "the model is as it was asked for", modelBody(), version.ModelVersion)
	workspace := s.workspace(ctx)
	s.model(ctx, workspace, "churn", "7")
	destination := ml.DestinationAsset{RegistryName: to.Ptr(name), DestinationName: to.Ptr("shared"), DestinationVersion: to.Ptr("7")}
	publish := func(ctx context.Context) (*poller[ml.ModelVersionsClientPublishResponse], error) {
		return s.factory.NewModelVersionsClient().BeginPublish(ctx, s.group, workspace, "churn", "7", destination, nil)
	}
	operate(ctx, s, "a model is published to it", append(ok, later...), publish)
	call(ctx, s, "the published model is there", ok, func(ctx context.Context) (ml.RegistryModelVersionsClientGetResponse, error) {
		return s.factory.NewRegistryModelVersionsClient().Get(ctx, s.group, name, "shared", "7", nil)
	})
	s.step("publishing it again is refused", func() error {
		running, err := publish(ctx)
		if err != nil {
			return nil
		}
		return mustFail(follow(ctx, running))
	})
	operate(ctx, s, "the registry is deleted", later, begun(func(ctx context.Context) (*poller[ml.RegistriesClientDeleteResponse], error) {
		return client.BeginDelete(ctx, s.group, name, nil)
	}))
}
