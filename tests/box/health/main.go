// Command health says of Kubernetes objects what the tools of others would say: Argo CD by the scripts that it ships, and
// kstatus, by which Flux and Helm wait.
//
// It reads a JSON list of objects and writes a list of as many answers: health, actions with the object that each enabled
// one makes, and the status by kstatus.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	customizations "github.com/argoproj/argo-cd/v3/resource_customizations"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	luajson "layeh.com/gopher-json"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type verdict struct {
	Status  string `json:"status,omitempty"`
	Message string `json:"message,omitempty"`
	// Error says why there is no status.
	Error string `json:"error,omitempty"`
}

type answer struct {
	Health  any     `json:"health"`
	Kstatus verdict `json:"kstatus"`
	// Actions has the object that each action makes; null where the action is disabled.
	Actions map[string]any `json:"actions"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "health:", err)
		os.Exit(1)
	}
}

func run() error {
	var objects []json.RawMessage
	if err := json.NewDecoder(os.Stdin).Decode(&objects); err != nil {
		return fmt.Errorf("read the objects: %w", err)
	}
	answers := []answer{}
	for index, object := range objects {
		given, err := judge(object)
		if err != nil {
			return fmt.Errorf("object %d: %w", index, err)
		}
		answers = append(answers, given)
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

func judge(text json.RawMessage) (answer, error) {
	object := map[string]any{}
	if err := json.Unmarshal(text, &object); err != nil {
		return answer{}, err
	}
	typed := &unstructured.Unstructured{}
	if err := typed.UnmarshalJSON(text); err != nil {
		return answer{}, err
	}
	kind := typed.GroupVersionKind()
	folder := path.Join(kind.Group, kind.Kind)
	health, err := script(path.Join(folder, "health.lua"), object)
	if err != nil {
		return answer{}, err
	}
	actions, err := actions(path.Join(folder, "actions"), object)
	return answer{Health: health, Kstatus: byKstatus(typed), Actions: actions}, err
}

func byKstatus(object *unstructured.Unstructured) verdict {
	result, err := status.Compute(object)
	if err != nil {
		return verdict{Error: err.Error()}
	}
	return verdict{Status: result.Status.String(), Message: result.Message}
}

func actions(folder string, object map[string]any) (map[string]any, error) {
	made := map[string]any{}
	found, err := script(path.Join(folder, "discovery.lua"), object)
	if errors.Is(err, fs.ErrNotExist) {
		return made, nil
	}
	if err != nil {
		return nil, err
	}
	discovered, ok := found.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s discovers no actions: %v", folder, found)
	}
	for name, about := range discovered {
		made[name] = nil
		if fields, ok := about.(map[string]any); ok && fields["disabled"] == true {
			continue
		}
		changed, err := script(path.Join(folder, name, "action.lua"), object)
		if err != nil {
			return nil, err
		}
		made[name] = restored(changed, object)
	}
	return made, nil
}

// script runs a script of Argo CD on the object and returns what the script returns.
func script(name string, object map[string]any) (any, error) {
	text, err := customizations.Embedded.ReadFile(name)
	if err != nil {
		return nil, err
	}
	state := lua.NewState()
	defer state.Close()
	state.SetGlobal("obj", luajson.DecodeValue(state, object))
	if err := state.DoString(string(text)); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	encoded, err := luajson.Encode(state.Get(-1))
	if err != nil {
		return nil, fmt.Errorf("%s returns what is not JSON: %w", name, err)
	}
	var result any
	return result, json.Unmarshal(encoded, &result)
}

// restored makes empty lists empty objects again where they were: Lua has one kind of table.
func restored(made, before any) any {
	switch made := made.(type) {
	case map[string]any:
		old, _ := before.(map[string]any)
		for name, value := range made {
			made[name] = restored(value, old[name])
		}
	case []any:
		if _, was := before.(map[string]any); was && len(made) == 0 {
			return before
		}
		old, _ := before.([]any)
		for index, value := range made {
			if index < len(old) {
				made[index] = restored(value, old[index])
			}
		}
	}
	return made
}
