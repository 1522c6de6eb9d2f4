package main

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"time"
)

// vanished is the problem of a key that the model does not know.
const vanished = "vanished: the model does not know this key here"

// compare lists what of a sent value is not in the kept one, by its path. Keys that are only in the kept value are no
// finding: a model may write defaults, but ours are the keys that were sent.
func compare(path string, sent, kept any) []finding {
	switch sent := sent.(type) {
	case nil:
		// A null and an absent key mean the same to the service.
		return nil
	case map[string]any:
		object, ok := kept.(map[string]any)
		if !ok {
			return []finding{{Path: path, Problem: "no longer an object", Sent: sent, Kept: kept}}
		}
		return compareObjects(path, sent, object)
	case []any:
		list, ok := kept.([]any)
		if !ok || len(list) != len(sent) {
			return []finding{{Path: path, Problem: "no longer the same list", Sent: sent, Kept: kept}}
		}
		var found []finding
		for index := range sent {
			found = append(found, compare(fmt.Sprintf("%s/%d", path, index), sent[index], list[index])...)
		}
		return found
	}
	if same(sent, kept) {
		return nil
	}
	return []finding{{Path: path, Problem: "changed", Sent: sent, Kept: kept}}
}

func compareObjects(path string, sent, kept map[string]any) []finding {
	keys := make([]string, 0, len(sent))
	for key := range sent {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	var found []finding
	for _, key := range keys {
		// The dot in "odata.type" is part of the key, so paths are JSON pointers.
		below := path + "/" + strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
		value, present := kept[key]
		switch {
		case present:
			found = append(found, compare(below, sent[key], value)...)
		case sent[key] != nil:
			found = append(found, finding{Path: below, Problem: vanished, Sent: sent[key]})
		}
	}
	return found
}

// same holds for equal texts, numbers and instants, however they are written.
func same(sent, kept any) bool {
	if sent == kept {
		return true
	}
	if left, ok := sent.(json.Number); ok {
		right, ok := kept.(json.Number)
		if !ok {
			return false
		}
		first, errFirst := left.Float64()
		second, errSecond := right.Float64()
		return errFirst == nil && errSecond == nil && first == second
	}
	left, isText := sent.(string)
	right, isTextToo := kept.(string)
	if !isText || !isTextToo {
		return false
	}
	first, errFirst := time.Parse(time.RFC3339Nano, left)
	second, errSecond := time.Parse(time.RFC3339Nano, right)
	return errFirst == nil && errSecond == nil && first.Equal(second)
}
