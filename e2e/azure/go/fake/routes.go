package main

import (
	"net/http"
	"strings"
)

// route says which operation of the Go client a request is, by its method and path.
type route struct {
	method string
	// The path with the case that the fake server insists on; {} stands for any name.
	path string
	api  string
}

const (
	group     = "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.MachineLearningServices"
	workspace = group + "/workspaces/{}"
	endpoint  = workspace + "/onlineEndpoints/{}"
)

var routes = []route{
	{http.MethodGet, group + "/workspaces", "WorkspacesClient.NewListByResourceGroupPager"},
	{http.MethodGet, workspace, "WorkspacesClient.Get"},
	{http.MethodPut, workspace, "WorkspacesClient.BeginCreateOrUpdate"},
	{http.MethodPatch, workspace, "WorkspacesClient.BeginUpdate"},
	{http.MethodDelete, workspace, "WorkspacesClient.BeginDelete"},
	{http.MethodGet, workspace + "/computes", "ComputeClient.NewListPager"},
	{http.MethodGet, workspace + "/computes/{}", "ComputeClient.Get"},
	{http.MethodPut, workspace + "/computes/{}", "ComputeClient.BeginCreateOrUpdate"},
	{http.MethodDelete, workspace + "/computes/{}", "ComputeClient.BeginDelete"},
	{http.MethodGet, workspace + "/models/{}", "ModelContainersClient.Get"},
	{http.MethodPut, workspace + "/models/{}", "ModelContainersClient.CreateOrUpdate"},
	{http.MethodDelete, workspace + "/models/{}", "ModelContainersClient.Delete"},
	{http.MethodGet, workspace + "/models/{}/versions", "ModelVersionsClient.NewListPager"},
	{http.MethodGet, workspace + "/models/{}/versions/{}", "ModelVersionsClient.Get"},
	{http.MethodPut, workspace + "/models/{}/versions/{}", "ModelVersionsClient.CreateOrUpdate"},
	{http.MethodDelete, workspace + "/models/{}/versions/{}", "ModelVersionsClient.Delete"},
	{http.MethodGet, workspace + "/onlineEndpoints", "OnlineEndpointsClient.NewListPager"},
	{http.MethodGet, endpoint, "OnlineEndpointsClient.Get"},
	{http.MethodPut, endpoint, "OnlineEndpointsClient.BeginCreateOrUpdate"},
	{http.MethodDelete, endpoint, "OnlineEndpointsClient.BeginDelete"},
	{http.MethodPost, endpoint + "/listKeys", "OnlineEndpointsClient.ListKeys"},
	{http.MethodGet, endpoint + "/deployments", "OnlineDeploymentsClient.NewListPager"},
	{http.MethodGet, endpoint + "/deployments/{}", "OnlineDeploymentsClient.Get"},
	{http.MethodPut, endpoint + "/deployments/{}", "OnlineDeploymentsClient.BeginCreateOrUpdate"},
	{http.MethodPatch, endpoint + "/deployments/{}", "OnlineDeploymentsClient.BeginUpdate"},
	{http.MethodDelete, endpoint + "/deployments/{}", "OnlineDeploymentsClient.BeginDelete"},
	{http.MethodPost, endpoint + "/deployments/{}/getLogs", "OnlineDeploymentsClient.GetLogs"},
}

// find returns the operation of a request, and its path in the case that the fake server expects. Resource Manager's
// paths are case-insensitive.
func find(method, path string) (api, canonical string, found bool) {
	words := strings.Split(path, "/")
	for _, candidate := range routes {
		if candidate.method != method {
			continue
		}
		if canonical, matches := candidate.match(words); matches {
			return candidate.api, canonical, true
		}
	}
	return "", "", false
}

func (r route) match(words []string) (string, bool) {
	pattern := strings.Split(r.path, "/")
	if len(pattern) != len(words) {
		return "", false
	}
	canonical := make([]string, len(words))
	for index, word := range pattern {
		switch {
		case word == "{}" && words[index] != "":
			canonical[index] = words[index]
		case strings.EqualFold(word, words[index]):
			canonical[index] = word
		default:
			return "", false
		}
	}
	return strings.Join(canonical, "/"), true
}
