package main

import "regexp"

// newer lists the keys that api-version 2025-12-01 has and the Go models of 2024-04-01 do not, found by comparing the
// models of azure-ai-ml's client of 2025-12-01 with these. They may vanish; nothing else may. Each belongs to one type,
// so that a misplaced key is still found.
var newer = map[string][]*regexp.Regexp{
	"Workspace": {
		regexp.MustCompile(`^/properties/(provisionNetworkNow|systemDatastoresAuthMode|enableServiceSideCMKEncryption)$`),
		regexp.MustCompile(`^/properties/managedNetwork/(firewallSku|enableNetworkMonitor|managedNetworkKind)$`),
		regexp.MustCompile(`^/properties/encryption/(cosmosDbResourceId|searchAccountResourceId|storageAccountResourceId)$`),
	},
	"WorkspaceUpdateParameters": {
		regexp.MustCompile(`^/properties/systemDatastoresAuthMode$`),
		regexp.MustCompile(`^/properties/managedNetwork/(firewallSku|enableNetworkMonitor|managedNetworkKind)$`),
	},
	"ComputeResource": {
		regexp.MustCompile(`^/properties/properties/(enableSSO|idleTimeBeforeShutdown)$`),
	},
	"WorkspaceConnectionPropertiesV2BasicResource": {
		regexp.MustCompile(`^/properties/(peRequirement|peStatus|useWorkspaceManagedIdentity)$`),
	},
	"OutboundRuleBasicResource": {regexp.MustCompile(`^/properties/fqdns$`)},
	"EnvironmentVersion":        {regexp.MustCompile(`^/properties/inferenceConfig/startupRoute$`)},
	"ModelVersion":              {regexp.MustCompile(`^/properties/datasets$`)},
	"OnlineDeployment":          {regexp.MustCompile(`^/properties/startupProbe$`)},
	"JobBase": {
		regexp.MustCompile(`^/properties(/jobs/[^/]+|/trial)?/resources/dockerArgsList$`),
		regexp.MustCompile(`^/properties/outputs/[^/]+/assetName$`),
	},
	"Schedule": {
		regexp.MustCompile(`^/properties/action/jobDefinition/(resources/dockerArgsList|outputs/[^/]+/assetName)$`),
	},
	// Azure answers these, and later versions of the Go models have them.
	"RoleDefinition": {regexp.MustCompile(`^/properties/(created|updated)(On|By)$`)},
	// The tags are of the preview that azure-ai-ml makes registries with.
	"Registry": {regexp.MustCompile(`^/properties/managedResourceGroup(Settings|Tags)$`)},
}

// isNewer tells whether the model of a type is too old for the key at this path.
func isNewer(typeName, path string) bool {
	for _, pattern := range newer[typeName] {
		if pattern.MatchString(path) {
			return true
		}
	}
	return false
}
