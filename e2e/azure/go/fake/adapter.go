package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

const (
	// The header by which the fake server tells the state of an operation, and the path where it is asked again.
	pollerStatus = "Fake-Poller-Status"
	pollerPath   = "/get/fake/status"
	inProgress   = "InProgress"
	provider     = "/providers/Microsoft.MachineLearningServices/locations/westeurope/"
)

// transport is the fake server.
type transport interface {
	Do(*http.Request) (*http.Response, error)
}

// adapter translates between the wire and the fake server.
type adapter struct {
	server transport
	store  *store
	// One request at a time: the fake server tracks an operation by its path alone.
	mutex      sync.Mutex
	operations map[string]*operation
}

// operation is one that runs: how the fake server is asked for it, and how it ended.
type operation struct {
	api  string
	path string
	// Whether the operation makes what is at its path, rather than delete it.
	makes  bool
	status string
	failed *azcore.ResponseError
}

func newAdapter(server transport, store *store) *adapter {
	return &adapter{server: server, store: store, operations: map[string]*operation{}}
}

func (a *adapter) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	writer.Header().Set("x-ms-request-id", rand.Text())
	switch {
	case !strings.HasPrefix(request.Header.Get("Authorization"), "Bearer "):
		refuse(writer, http.StatusUnauthorized, "AuthenticationFailed", "the request has no bearer token")
	case strings.Contains(request.URL.Path, "/mfeOperationsStatus/"):
		a.answerStatus(writer, request)
	case strings.Contains(request.URL.Path, "/mfeOperationResults/"):
		a.answerResult(writer, request)
	case request.URL.Query().Get("api-version") == "":
		refuse(writer, http.StatusBadRequest, "MissingApiVersionParameter", "the api-version query parameter is required")
	default:
		a.dispatch(writer, request)
	}
}

// dispatch hands a request to the fake server, and begins an operation when the fake server says that one runs.
func (a *adapter) dispatch(writer http.ResponseWriter, request *http.Request) {
	api, path, found := find(request.Method, request.URL.Path)
	if !found {
		refuse(writer, http.StatusNotFound, "InvalidResourceType", "no operation here: "+request.Method+" "+request.URL.Path)
		return
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		refuse(writer, http.StatusBadRequest, "InvalidRequestContent", err.Error())
		return
	}
	response, err := a.ask(request, api, request.Method, path, body)
	if err != nil {
		refuseError(writer, err)
		return
	}
	if response.Header.Get(pollerStatus) == inProgress {
		a.begin(writer, request, &operation{api: api, path: path, makes: request.Method != http.MethodDelete, status: inProgress})
		return
	}
	copyBody(writer, response)
}

// ask calls the fake server for one operation.
func (a *adapter) ask(original *http.Request, api, method, path string, body []byte) (*http.Response, error) {
	named := context.WithValue(original.Context(), runtime.CtxAPINameKey{}, api)
	named = context.WithValue(named, subscriptionKey{}, strings.Split(path, "/")[2])
	address := *original.URL
	address.Scheme, address.Host, address.Path, address.RawPath = "http", original.Host, path, ""
	request, err := http.NewRequestWithContext(named, method, address.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range original.Header {
		request.Header[name] = values
	}
	return a.server.Do(request)
}

// begin answers as the service does: 201 with the half-made resource and Azure-AsyncOperation where the models want
// that, else 202 and Location.
func (a *adapter) begin(writer http.ResponseWriter, request *http.Request, begun *operation) {
	id := rand.Text()
	a.operations[id] = begun
	subscription := strings.Join(strings.Split(begun.path, "/")[:3], "/")
	version := "?api-version=" + request.URL.Query().Get("api-version")
	base := origin(request) + subscription + provider
	status := base + "mfeOperationsStatus/" + id + version
	location := base + "mfeOperationResults/" + id + version
	writer.Header().Set("Retry-After", "0")
	if request.Method == http.MethodPut && !strings.HasPrefix(begun.api, "WorkspacesClient.") {
		writer.Header().Set("Azure-AsyncOperation", status)
		writer.Header().Set("x-ms-async-operation-timeout", "PT1H")
		a.answerResource(writer, request, begun.path, http.StatusCreated)
		return
	}
	writer.Header().Set("Location", location)
	writer.WriteHeader(http.StatusAccepted)
}

// answerStatus is what Azure-AsyncOperation points to.
func (a *adapter) answerStatus(writer http.ResponseWriter, request *http.Request) {
	running, found := a.poll(request)
	if !found {
		refuse(writer, http.StatusNotFound, "OperationNotFound", "no such operation")
		return
	}
	answer := map[string]any{"status": running.status}
	if running.failed != nil {
		answer["error"] = map[string]string{"code": running.failed.ErrorCode, "message": running.failed.ErrorCode}
	}
	writeJSON(writer, http.StatusOK, answer)
}

// answerResult is what Location points to.
func (a *adapter) answerResult(writer http.ResponseWriter, request *http.Request) {
	running, found := a.poll(request)
	switch {
	case !found:
		refuse(writer, http.StatusNotFound, "OperationNotFound", "no such operation")
	case running.failed != nil:
		refuseError(writer, running.failed)
	case running.status == inProgress:
		writer.Header().Set("Location", origin(request)+request.URL.RequestURI())
		writer.Header().Set("Retry-After", "0")
		writer.WriteHeader(http.StatusAccepted)
	case running.makes:
		a.answerResource(writer, request, running.path, http.StatusOK)
	default:
		writer.WriteHeader(http.StatusNoContent)
	}
}

// poll moves an operation on by one step, in the fake server's own way.
func (a *adapter) poll(request *http.Request) (*operation, bool) {
	words := strings.Split(request.URL.Path, "/")
	running, found := a.operations[words[len(words)-1]]
	if !found || running.status != inProgress {
		return running, found
	}
	response, err := a.ask(request, running.api, http.MethodGet, running.path+pollerPath, nil)
	switch {
	case err != nil:
		running.status = "Failed"
		if !errors.As(err, &running.failed) {
			running.failed = &azcore.ResponseError{StatusCode: http.StatusInternalServerError, ErrorCode: err.Error()}
		}
		a.store.finish(running.path, false)
	case response.Header.Get(pollerStatus) != inProgress:
		running.status = "Succeeded"
		a.store.finish(running.path, true)
	}
	return running, true
}

// answerResource answers with what a GET of this path gives.
func (a *adapter) answerResource(writer http.ResponseWriter, request *http.Request, path string, status int) {
	api, path, found := find(http.MethodGet, path)
	if !found {
		writer.WriteHeader(status)
		return
	}
	response, err := a.ask(request, api, http.MethodGet, path, nil)
	if err != nil {
		refuseError(writer, err)
		return
	}
	response.StatusCode = status
	copyBody(writer, response)
}

func origin(request *http.Request) string {
	if request.TLS != nil {
		return "https://" + request.Host
	}
	return "http://" + request.Host
}

func copyBody(writer http.ResponseWriter, response *http.Response) {
	writer.Header().Set("Content-Type", "application/json; charset=utf-8")
	writer.WriteHeader(response.StatusCode)
	_, _ = io.Copy(writer, response.Body)
	_ = response.Body.Close()
}

func writeJSON(writer http.ResponseWriter, status int, value any) {
	writer.Header().Set("Content-Type", "application/json; charset=utf-8")
	writer.WriteHeader(status)
	_ = json.NewEncoder(writer).Encode(value)
}

func refuse(writer http.ResponseWriter, status int, code, message string) {
	writeJSON(writer, status, map[string]any{"error": map[string]string{"code": code, "message": message}})
}

// refuseError turns the fake server's Go error into Resource Manager's body.
func refuseError(writer http.ResponseWriter, err error) {
	var refused *azcore.ResponseError
	if errors.As(err, &refused) {
		refuse(writer, refused.StatusCode, refused.ErrorCode, fmt.Sprintf("the fake server answers %s", refused.ErrorCode))
		return
	}
	// What the fake server can't parse is a mistake of the request.
	refuse(writer, http.StatusBadRequest, "InvalidRequestContent", err.Error())
}
