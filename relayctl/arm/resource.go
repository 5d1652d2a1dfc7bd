package arm

import (
	"encoding/json"
	"strings"
)

// Resource is a JSON object as it came; numbers are json.Number. The nil Resource
// has no members.
type Resource map[string]any

// Flat returns r with the members of properties pulled up, as az writes it. A
// member of the same name that r has itself stays.
func (r Resource) Flat() Resource {
	properties, ok := r["properties"].(map[string]any)
	if !ok {
		return r
	}
	flat := make(Resource, len(r)+len(properties))
	for name, value := range properties {
		flat[name] = value
	}
	for name, value := range r {
		if name != "properties" {
			flat[name] = value
		}
	}
	return flat
}

// Text returns a member as text; what is absent, null or no scalar is empty.
func (r Resource) Text(name string) string {
	switch v := r[name].(type) {
	case string:
		return v
	case bool:
		if v {
			return "true"
		}
		return "false"
	case json.Number:
		return v.String()
	}
	return ""
}

// Texts returns the strings of a list.
func (r Resource) Texts(name string) []string {
	list, _ := r[name].([]any)
	var all []string
	for _, v := range list {
		if s, ok := v.(string); ok {
			all = append(all, s)
		}
	}
	return all
}

// Group returns the resource group that the id of r names, or "".
func (r Resource) Group() string {
	segments := strings.Split(r.Text("id"), "/")
	for i := range len(segments) - 1 {
		if strings.EqualFold(segments[i], "resourceGroups") {
			return segments[i+1]
		}
	}
	return ""
}
