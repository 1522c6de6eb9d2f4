package main

import (
	"context"
	"net/http"
	"sort"
	"strings"
	"sync"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
)

// store holds every resource by its path, in lower case.
type store struct {
	polls int
	mutex sync.Mutex
	items map[string]*item
}

// item is one resource, and how to tell it that its operation is done.
type item struct {
	value any
	// Sets the provisioning state.
	state func(string)
	// Whether the running operation deletes it.
	leaving bool
}

func newStore(polls int) *store {
	return &store{polls: polls, items: map[string]*item{}}
}

// key is the place of a resource, by its resource group and the words of its path below the provider.
func key(parts ...string) string {
	return strings.ToLower("/" + strings.Join(parts, "/"))
}

// keyOf is the key of a request's path.
func keyOf(path string) string {
	words := strings.Split(strings.ToLower(path), "/")
	// "", subscriptions, S, resourcegroups, G, providers, P, workspaces, W, ...
	parts := []string{words[4]}
	for index := 8; index < len(words); index += 2 {
		parts = append(parts, words[index-1], words[index])
	}
	return key(parts...)
}

// put stores a resource and tells whether it is new.
func (s *store) put(at string, value any, state func(string)) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	_, present := s.items[at]
	s.items[at] = &item{value: value, state: state}
	return !present
}

// leave marks a resource as being deleted, and tells whether it is there.
func (s *store) leave(at string) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	found, present := s.items[at]
	if present {
		found.leaving = true
	}
	return present
}

// remove deletes a resource at once, and tells whether it was there.
func (s *store) remove(at string) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	_, present := s.items[at]
	delete(s.items, at)
	return present
}

// finish ends the operation on what is at a request's path; children go with their parent.
func (s *store) finish(path string, succeeded bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	at := keyOf(path)
	found, present := s.items[at]
	switch {
	case !present:
	case found.leaving && succeeded:
		for below := range s.items {
			if below == at || strings.HasPrefix(below, at+"/") {
				delete(s.items, below)
			}
		}
	case succeeded:
		found.state("Succeeded")
	default:
		found.state("Failed")
	}
}

// has tells whether there is a resource.
func (s *store) has(at string) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	_, present := s.items[at]
	return present
}

// read returns a resource of a type, or an error that the fake server answers with.
func read[T any](s *store, at string) (value T, refused azfake.ErrorResponder, found bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if item, present := s.items[at]; present {
		if value, matches := item.value.(T); matches {
			return value, refused, true
		}
	}
	refused.SetResponseError(http.StatusNotFound, "ResourceNotFound")
	return value, refused, false
}

// list returns the resources of a type directly below a key, by name.
func list[T any](s *store, below string) []*T {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var keys []string
	for at := range s.items {
		rest, within := strings.CutPrefix(at, below+"/")
		if within && !strings.Contains(rest, "/") {
			keys = append(keys, at)
		}
	}
	sort.Strings(keys)
	values := make([]*T, 0, len(keys))
	for _, at := range keys {
		if value, matches := s.items[at].value.(*T); matches {
			values = append(values, value)
		}
	}
	return values
}

// begin makes an operation that is polled as often as the store was told, then ends with a status and a result.
func begin[R any](s *store, first, last int, result R) (poller azfake.PollerResponder[R]) {
	for range s.polls {
		poller.AddNonTerminalResponse(first, nil)
	}
	poller.SetTerminalResponse(last, result, nil)
	return poller
}

// answer is a response at once.
func answer[R any](status int, result R) (responder azfake.Responder[R]) {
	responder.SetResponse(status, result, nil)
	return responder
}

// createdOr200 is the status of a PUT.
func createdOr200(isNew bool) int {
	if isNew {
		return http.StatusCreated
	}
	return http.StatusOK
}

// refusal is an error that the fake server answers with.
func refusal(status int, code string) (refused azfake.ErrorResponder) {
	refused.SetResponseError(status, code)
	return refused
}

// subscriptionKey is where a request's context has its subscription: the fake server does not hand it to the operations.
type subscriptionKey struct{}

// identity is the read-only head of every resource.
type identity struct {
	id, name, kind *string
}

// identify makes the head of a resource from the words of its path below the provider.
func identify(ctx context.Context, group string, path ...string) identity {
	subscription, _ := ctx.Value(subscriptionKey{}).(string)
	provider := "Microsoft.MachineLearningServices"
	words := []string{"", "subscriptions", subscription, "resourceGroups", group, "providers", provider}
	kind := provider
	for index := 0; index < len(path); index += 2 {
		kind += "/" + path[index]
	}
	id := strings.Join(append(words, path...), "/")
	return identity{id: to.Ptr(id), name: to.Ptr(path[len(path)-1]), kind: to.Ptr(kind)}
}
