package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// between is the time between two polls. The client's own loop does not go below a second.
const between = 50 * time.Millisecond

// step runs one step, prints how it went, and tells whether it passed.
func (s *steps) step(name string, work func() error) bool {
	started := time.Now()
	err := work()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	elapsed := time.Since(started).Round(time.Millisecond)
	if err == nil {
		*s.passed++
		fmt.Printf("ok      %s: %s (%s)\n", s.suite, name, elapsed)
		return true
	}
	*s.failures = append(*s.failures, name)
	fmt.Printf("FAILED  %s: %s (%s): %s\n", s.suite, name, elapsed, brief(err))
	return false
}

// brief is an error in one line. The client's own text for an answer has ten.
func brief(err error) string {
	var answer *azcore.ResponseError
	if !errors.As(err, &answer) || answer.RawResponse == nil {
		return err.Error()
	}
	body, _ := runtime.Payload(answer.RawResponse)
	text := strings.Join(strings.Fields(string(body)), " ")
	request := answer.RawResponse.Request
	return fmt.Sprintf("%s %s answered %d %s", request.Method, request.URL.Path, answer.StatusCode, text)
}

// expect is a step about one value.
func expect[T comparable](s *steps, name string, got *T, wanted T) {
	s.step(name, func() error {
		switch {
		case got == nil:
			return fmt.Errorf("got nothing, wanted %v", wanted)
		case *got != wanted:
			return fmt.Errorf("got %v, wanted %v", *got, wanted)
		}
		return nil
	})
}

// call makes a call that answers at once with one of these statuses.
func call[R any](ctx context.Context, s *steps, name string, statuses []int, work func(context.Context) (R, error)) (result R) {
	s.step(name, func() error {
		var raw *http.Response
		var err error
		if result, err = work(policy.WithCaptureResponse(ctx, &raw)); err != nil {
			return err
		}
		return answered(raw, statuses)
	})
	return result
}

// operate begins an operation, which must be answered with one of these statuses, and follows it to its end.
func operate[R any](ctx context.Context, s *steps, name string, statuses []int, work func(context.Context) (*runtime.Poller[R], error)) (result R) {
	s.step(name, func() error {
		var raw *http.Response
		poller, err := work(policy.WithCaptureResponse(ctx, &raw))
		if err != nil {
			return err
		}
		if err := answered(raw, statuses); err != nil {
			return err
		}
		result, err = follow(ctx, poller)
		return err
	})
	return result
}

// follow polls an operation to its end.
func follow[R any](ctx context.Context, poller *runtime.Poller[R]) (result R, err error) {
	for !poller.Done() {
		select {
		case <-ctx.Done():
			return result, ctx.Err()
		case <-time.After(between):
		}
		if _, err := poller.Poll(ctx); err != nil {
			return result, err
		}
	}
	return poller.Result(ctx)
}

func answered(raw *http.Response, statuses []int) error {
	for _, status := range statuses {
		if raw != nil && raw.StatusCode == status {
			return nil
		}
	}
	if raw == nil {
		return errors.New("no answer was captured")
	}
	return fmt.Errorf("answered %d, wanted one of %v", raw.StatusCode, statuses)
}

// refused is a step that must fail with this status and code.
func refused(s *steps, name string, status int, codes []string, work func() error) {
	s.step(name, func() error {
		err := work()
		var answer *azcore.ResponseError
		if !errors.As(err, &answer) {
			return fmt.Errorf("got %v, wanted to be refused with %d", err, status)
		}
		if answer.StatusCode != status {
			return fmt.Errorf("refused with %d %s, wanted %d", answer.StatusCode, answer.ErrorCode, status)
		}
		for _, code := range codes {
			if answer.ErrorCode == code {
				return nil
			}
		}
		return fmt.Errorf("refused with the code %q, wanted one of %q", answer.ErrorCode, codes)
	})
}

// lists is a step that reads every page and must find a name, or must not.
func lists[R any](ctx context.Context, s *steps, name, wanted string, present bool, pager *runtime.Pager[R], namesOf func(R) []*string) {
	s.step(name, func() error {
		var names []string
		for pager.More() {
			page, err := pager.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, one := range namesOf(page) {
				if one != nil {
					names = append(names, *one)
				}
			}
		}
		found := false
		for _, one := range names {
			found = found || one == wanted
		}
		if found != present {
			return fmt.Errorf("the list has %q, and %s is expected in it: %t", names, wanted, present)
		}
		return nil
	})
}

// same is a step: what was sent is in what came back, apart from what the service adds.
func same(s *steps, name string, sent, got any) {
	s.step(name, func() error {
		left, err := plain(sent)
		if err != nil {
			return err
		}
		right, err := plain(got)
		if err != nil {
			return err
		}
		return within("", left, right)
	})
}

func plain(value any) (result any, err error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return result, json.Unmarshal(text, &result)
}

func within(path string, sent, got any) error {
	object, isObject := sent.(map[string]any)
	if !isObject {
		if fmt.Sprint(sent) != fmt.Sprint(got) {
			return fmt.Errorf("%s: sent %v, got %v", path, sent, got)
		}
		return nil
	}
	answer, _ := got.(map[string]any)
	for key, value := range object {
		if err := within(path+"/"+key, value, answer[key]); err != nil {
			return err
		}
	}
	return nil
}

var (
	errMissing   = errors.New("the answer lacks it")
	errUnchanged = errors.New("wanted a change of the primary key alone")
)

// mustFail turns success into an error.
func mustFail[R any](_ R, err error) error {
	var answer *azcore.ResponseError
	if err == nil {
		return errors.New("it was accepted")
	}
	if !errors.As(err, &answer) || answer.StatusCode < 400 || answer.StatusCode >= 500 {
		return fmt.Errorf("wanted a refusal, got %w", err)
	}
	return nil
}
