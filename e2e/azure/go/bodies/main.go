// Command bodies passes request bodies through the official Go models and reports what does not survive.
//
// A key that the model does not know, or that is misspelt, vanishes between Unmarshal and Marshal; a value of the wrong
// type is an error. Each line of standard input is {"type": "OnlineDeployment", "body": {...}}, with an optional "name"
// that is repeated in the findings. Each finding is one line of JSON on standard output, and any makes the exit status 1.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// input is one line of standard input.
type input struct {
	Type string          `json:"type"`
	Name string          `json:"name,omitempty"`
	Body json.RawMessage `json:"body"`
}

// finding is one difference between a body and what its model made of it.
type finding struct {
	Line    int    `json:"line"`
	Type    string `json:"type"`
	Name    string `json:"name,omitempty"`
	Path    string `json:"path"`
	Problem string `json:"problem"`
	Sent    any    `json:"sent,omitempty"`
	Kept    any    `json:"kept,omitempty"`
}

// summary is the last line: how much was looked at, so that an empty input is not taken for a clean one.
type summary struct {
	Bodies   int            `json:"bodies"`
	Types    map[string]int `json:"types"`
	Newer    map[string]int `json:"newer"`
	Findings int            `json:"findings"`
}

func main() {
	findings, err := run(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintf(os.Stderr, "bodies: %v\n", err)
		os.Exit(2)
	}
	if findings > 0 {
		os.Exit(1)
	}
}

// run checks every line of the input, and returns how many findings it printed.
func run(from io.Reader, to io.Writer) (int, error) {
	scanner := bufio.NewScanner(from)
	scanner.Buffer(make([]byte, 0, 64<<10), 16<<20)
	printer := json.NewEncoder(to)
	total := summary{Types: map[string]int{}, Newer: map[string]int{}}
	for line := 1; scanner.Scan(); line++ {
		text := bytes.TrimSpace(scanner.Bytes())
		if len(text) == 0 {
			continue
		}
		var one input
		if err := json.Unmarshal(text, &one); err != nil {
			return total.Findings, fmt.Errorf("line %d is no JSON object with type and body: %w", line, err)
		}
		total.Bodies++
		total.Types[one.Type]++
		for _, found := range check(one) {
			if found.Problem == vanished && isNewer(one.Type, found.Path) {
				total.Newer[one.Type+found.Path]++
				continue
			}
			found.Line, found.Type, found.Name = line, one.Type, one.Name
			total.Findings++
			if err := printer.Encode(found); err != nil {
				return total.Findings, err
			}
		}
	}
	if err := scanner.Err(); err != nil {
		return total.Findings, err
	}
	return total.Findings, printer.Encode(total)
}

// check passes one body through the model of its type.
func check(one input) []finding {
	create, known := models[one.Type]
	if !known {
		return []finding{{Problem: "no model of this type is known; see models.go"}}
	}
	model := create()
	if err := json.Unmarshal(one.Body, model); err != nil {
		return []finding{{Problem: "the model refuses the body: " + err.Error()}}
	}
	kept, err := json.Marshal(model)
	if err != nil {
		return []finding{{Problem: "the model can't be written: " + err.Error()}}
	}
	sentValue, err := decode(one.Body)
	if err != nil {
		return []finding{{Problem: err.Error()}}
	}
	keptValue, err := decode(kept)
	if err != nil {
		return []finding{{Problem: err.Error()}}
	}
	return compare("", sentValue, keptValue)
}

func decode(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	err := decoder.Decode(&value)
	return value, err
}
