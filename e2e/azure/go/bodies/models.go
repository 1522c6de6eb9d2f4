package main

import (
	"encoding/json"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/applicationinsights/armapplicationinsights"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerregistry/armcontainerregistry"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/kubernetesconfiguration/armkubernetesconfiguration/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/monitor/armmonitor"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/operationalinsights/armoperationalinsights"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/storage/armstorage"
)

// models makes an empty model of each type that a body can be of.
var models = map[string]func() any{
	"ActionGroupResource":                          empty[armmonitor.ActionGroupResource],
	"BatchDeployment":                              empty[armmachinelearning.BatchDeployment],
	"BatchEndpoint":                                empty[armmachinelearning.BatchEndpoint],
	"ClusterUpdateParameters":                      empty[armmachinelearning.ClusterUpdateParameters],
	"CodeContainer":                                empty[armmachinelearning.CodeContainer],
	"CodeVersion":                                  empty[armmachinelearning.CodeVersion],
	"ComponentContainer":                           empty[armmachinelearning.ComponentContainer],
	"ComponentVersion":                             empty[armmachinelearning.ComponentVersion],
	"ComputeResource":                              empty[armmachinelearning.ComputeResource],
	"ContainerRegistry":                            empty[armcontainerregistry.Registry],
	"DataContainer":                                empty[armmachinelearning.DataContainer],
	"DataVersionBase":                              empty[armmachinelearning.DataVersionBase],
	"Datastore":                                    empty[armmachinelearning.Datastore],
	"DatastoreProperties":                          func() any { return &datastoreProperties{} },
	"DeploymentLogsRequest":                        empty[armmachinelearning.DeploymentLogsRequest],
	"DestinationAsset":                             empty[armmachinelearning.DestinationAsset],
	"DiagnoseWorkspaceParameters":                  empty[armmachinelearning.DiagnoseWorkspaceParameters],
	"DiagnosticSettingsResource":                   empty[armmonitor.DiagnosticSettingsResource],
	"EnvironmentContainer":                         empty[armmachinelearning.EnvironmentContainer],
	"EnvironmentVersion":                           empty[armmachinelearning.EnvironmentVersion],
	"Extension":                                    empty[armkubernetesconfiguration.Extension],
	"GetBlobReferenceSASRequestDto":                empty[armmachinelearning.GetBlobReferenceSASRequestDto],
	"InsightsComponent":                            empty[armapplicationinsights.Component],
	"JobBase":                                      empty[armmachinelearning.JobBase],
	"LogAnalyticsWorkspace":                        empty[armoperationalinsights.Workspace],
	"ManagedNetworkProvisionOptions":               empty[armmachinelearning.ManagedNetworkProvisionOptions],
	"MetricAlertResource":                          empty[armmonitor.MetricAlertResource],
	"ModelContainer":                               empty[armmachinelearning.ModelContainer],
	"ModelVersion":                                 empty[armmachinelearning.ModelVersion],
	"OnlineDeployment":                             empty[armmachinelearning.OnlineDeployment],
	"OnlineEndpoint":                               empty[armmachinelearning.OnlineEndpoint],
	"OutboundRuleBasicResource":                    empty[armmachinelearning.OutboundRuleBasicResource],
	"PartialBatchDeployment":                       empty[armmachinelearning.PartialBatchDeploymentPartialMinimalTrackedResourceWithProperties],
	"PartialMinimalTrackedResourceWithIdentity":    empty[armmachinelearning.PartialMinimalTrackedResourceWithIdentity],
	"PartialMinimalTrackedResourceWithSKU":         empty[armmachinelearning.PartialMinimalTrackedResourceWithSKU],
	"PartialRegistry":                              empty[armmachinelearning.PartialRegistryPartialTrackedResource],
	"PatchExtension":                               empty[armkubernetesconfiguration.PatchExtension],
	"PendingUploadRequestDto":                      empty[armmachinelearning.PendingUploadRequestDto],
	"QuotaUpdateParameters":                        empty[armmachinelearning.QuotaUpdateParameters],
	"RegenerateEndpointKeysRequest":                empty[armmachinelearning.RegenerateEndpointKeysRequest],
	"Registry":                                     empty[armmachinelearning.Registry],
	"RoleAssignment":                               empty[armauthorization.RoleAssignment],
	"RoleAssignmentCreateParameters":               empty[armauthorization.RoleAssignmentCreateParameters],
	"RoleAssignmentScheduleRequest":                empty[armauthorization.RoleAssignmentScheduleRequest],
	"RoleDefinition":                               empty[armauthorization.RoleDefinition],
	"RoleEligibilityScheduleRequest":               empty[armauthorization.RoleEligibilityScheduleRequest],
	"Schedule":                                     empty[armmachinelearning.Schedule],
	"StorageAccountCreateParameters":               empty[armstorage.AccountCreateParameters],
	"VaultCreateOrUpdateParameters":                empty[armkeyvault.VaultCreateOrUpdateParameters],
	"Workspace":                                    empty[armmachinelearning.Workspace],
	"WorkspaceConnectionPropertiesV2BasicResource": empty[armmachinelearning.WorkspaceConnectionPropertiesV2BasicResource],
	"WorkspaceConnectionUpdateParameter":           empty[armmachinelearning.WorkspaceConnectionPropertiesV2BasicResource],
	"WorkspaceUpdateParameters":                    empty[armmachinelearning.WorkspaceUpdateParameters],
}

func empty[T any]() any {
	return new(T)
}

// datastoreProperties is the properties of a datastore alone. Go knows them only inside of a Datastore, whose kind of
// store decides what they are.
type datastoreProperties struct {
	datastore armmachinelearning.Datastore
}

func (d *datastoreProperties) UnmarshalJSON(text []byte) error {
	whole, err := json.Marshal(map[string]json.RawMessage{"properties": text})
	if err != nil {
		return err
	}
	return d.datastore.UnmarshalJSON(whole)
}

func (d *datastoreProperties) MarshalJSON() ([]byte, error) {
	return json.Marshal(d.datastore.Properties)
}
