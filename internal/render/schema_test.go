package render_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// schema is the part of JSON Schema 2020-12 that docs/jsonl.schema.json uses.
// It is decoded strictly, so that a keyword not known here is an error and not
// ignored.
type schema struct {
	Schema      string `json:"$schema"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Format      string `json:"format"`

	Ref        string             `json:"$ref"`
	Defs       map[string]*schema `json:"$defs"`
	Type       any                `json:"type"`
	Const      any                `json:"const"`
	Enum       []any              `json:"enum"`
	Minimum    *float64           `json:"minimum"`
	Pattern    string             `json:"pattern"`
	Required   []string           `json:"required"`
	Properties map[string]*schema `json:"properties"`
	Additional *schema            `json:"additionalProperties"`
	Items      *schema            `json:"items"`
	OneOf      []*schema          `json:"oneOf"`
}

func loadSchema(t *testing.T) *schema {
	t.Helper()
	text, err := os.ReadFile("../../docs/jsonl.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	s := new(schema)
	if err := dec.Decode(s); err != nil {
		t.Fatal(err)
	}
	return s
}

// check returns why v, decoded JSON, is not valid, or nil.
func (s *schema) check(root *schema, path string, v any) error {
	if s.Ref != "" {
		if err := root.Defs[strings.TrimPrefix(s.Ref, "#/$defs/")].check(root, path, v); err != nil {
			return err
		}
	}
	if err := s.checkValue(path, v); err != nil {
		return err
	}
	if o, ok := v.(map[string]any); ok {
		if err := s.checkObject(root, path, o); err != nil {
			return err
		}
	}
	if list, ok := v.([]any); ok && s.Items != nil {
		for i, one := range list {
			if err := s.Items.check(root, fmt.Sprintf("%s[%d]", path, i), one); err != nil {
				return err
			}
		}
	}
	return s.checkOneOf(root, path, v)
}

func (s *schema) checkValue(path string, v any) error {
	switch want := s.Type.(type) {
	case string:
		if !typeIs(want, v) {
			return fmt.Errorf("%s: %v is no %s", path, v, want)
		}
	case []any:
		if !slices.ContainsFunc(want, func(one any) bool { return typeIs(one.(string), v) }) {
			return fmt.Errorf("%s: %v is none of %v", path, v, want)
		}
	}
	if s.Const != nil && !reflect.DeepEqual(v, s.Const) {
		return fmt.Errorf("%s: got %v, want %v", path, v, s.Const)
	}
	if s.Enum != nil && !slices.Contains(s.Enum, v) {
		return fmt.Errorf("%s: got %v, want one of %v", path, v, s.Enum)
	}
	if n, ok := v.(float64); ok && s.Minimum != nil && n < *s.Minimum {
		return fmt.Errorf("%s: %v is below %v", path, n, *s.Minimum)
	}
	if text, ok := v.(string); ok && s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(text) {
		return fmt.Errorf("%s: %q does not match %s", path, text, s.Pattern)
	}
	return nil
}

func typeIs(want string, v any) bool {
	switch v := v.(type) {
	case nil:
		return want == "null"
	case string:
		return want == "string"
	case float64:
		return want == "number" || want == "integer" && v == float64(int64(v))
	case map[string]any:
		return want == "object"
	case []any:
		return want == "array"
	}
	return false
}

func (s *schema) checkObject(root *schema, path string, o map[string]any) error {
	for _, name := range s.Required {
		if _, ok := o[name]; !ok {
			return fmt.Errorf("%s: no %s", path, name)
		}
	}
	for name, v := range o {
		p := s.Properties[name]
		if p == nil {
			p = s.Additional
		}
		if p == nil {
			continue
		}
		if err := p.check(root, path+"."+name, v); err != nil {
			return err
		}
	}
	return nil
}

func (s *schema) checkOneOf(root *schema, path string, v any) error {
	if s.OneOf == nil {
		return nil
	}
	valid, why := 0, error(nil)
	for _, one := range s.OneOf {
		if err := one.check(root, path, v); err != nil {
			why = errors.Join(why, err)
		} else {
			valid++
		}
	}
	if valid != 1 {
		return fmt.Errorf("%s: %d of %d alternatives are valid: %w", path, valid, len(s.OneOf), why)
	}
	return nil
}

// documented reports the members that the schema's definition of an event has.
func (s *schema) documented(ev string, name string) bool {
	return s.Properties[name] != nil || s.Defs[ev].Properties[name] != nil
}
