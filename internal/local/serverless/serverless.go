// Package serverless reads a serverless.yml of the Serverless Framework as the template that the Framework would make of it: its functions with what invokes
// them, its WebSocket, HTTP and REST APIs, its layers and resources, under the Framework's logical ids. Its plugins are not run. What the Framework has
// made by itself, `serverless package`, is preferred if it is newer.
//
// The shape is that of "Serverless.yml Reference" in the Framework's documentation, of versions 2 and 3. Errors and warnings name the line of
// serverless.yml; of what another file has, the line that calls for it.
package serverless

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// packaging is the command that has the Framework make a template.
const packaging = "`npx serverless package`"

// packaged is where it leaves that.
const packaged = ".serverless/cloudformation-template-update-stack.json"

// Is reports whether a file is one of the Framework.
func Is(file string) bool {
	base := filepath.Base(file)
	name := strings.TrimSuffix(base, filepath.Ext(base))
	return name == "serverless" && slices.Contains([]string{".yml", ".yaml", ".json", ".ts", ".js"}, filepath.Ext(base))
}

// Find is the template in a folder: one of SAM or CloudFormation, or serverless.yml.
func Find(folder string) (string, error) {
	names := []string{"template.yaml", "template.yml", "template.json", "serverless.yml", "serverless.yaml", "serverless.json", "serverless.ts", "serverless.js"}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(folder, name)); err == nil {
			return filepath.Join(folder, name), nil
		}
	}
	return "", fmt.Errorf("there is none of %s in %s", strings.Join(names, ", "), folder)
}

// Packaged is what the Framework has made of a file, if that is newer than the file or nothing else can be read; empty: nothing.
func Packaged(file string) string {
	made := filepath.Join(filepath.Dir(file), filepath.FromSlash(packaged))
	there, err := os.Stat(made)
	if err != nil {
		return ""
	}
	source, err := os.Stat(file)
	if program := filepath.Ext(file) == ".ts" || filepath.Ext(file) == ".js"; !program && (err != nil || source.ModTime().After(there.ModTime())) {
		return ""
	}
	return made
}

// Choose is the template that is meant by a path, which may be a folder, and what a person wants to know of that; empty: nothing.
func Choose(path string) (file, text string, err error) {
	if info, err := os.Stat(path); err != nil {
		return "", "", fmt.Errorf("look for a template: %w", err)
	} else if info.IsDir() {
		if path, err = Find(path); err != nil {
			return "", "", err
		}
		text = path + " is served"
	}
	if !Is(path) {
		return path, text, nil
	}
	if made := Packaged(path); made != "" {
		return made, made + " is served, which the Serverless Framework has made of " + path, nil
	}
	return path, path + " is read as it is, without its plugins; what " + packaging + " makes of it is served instead while that is newer", nil
}

// ReadFile reads a template, which may be one of the Framework. Of such a one, the stage of the options is that of the variables too, and the
// parameters are what ${opt:…} and ${param:…} are worth.
func ReadFile(file string, o template.Options) (*template.Template, error) {
	if !Is(file) {
		return template.ReadFile(file, o)
	}
	if ext := filepath.Ext(file); ext == ".ts" || ext == ".js" {
		return nil, fmt.Errorf("%s is a program, which is not run: make a template of it with %s, which is taken from there", file, packaging)
	}
	data, err := os.ReadFile(file) //nolint:gosec // the path is the caller's
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if doc.Kind != yaml.DocumentNode || doc.Content[0].Kind != yaml.MappingNode {
		return nil, &template.Error{File: file, Line: 1, Text: "a serverless.yml is a mapping with service, provider and functions"}
	}
	s := &service{variables: variables{
		file: file, root: doc.Content[0], given: maps.Clone(o.Parameters), env: map[string]string{}, files: map[string]*yaml.Node{},
	}}
	if s.given == nil {
		s.given = map[string]string{}
	}
	if o.Stage != "" {
		s.given["stage"] = o.Stage
	}
	if region := o.Parameters["AWS::Region"]; region != "" {
		s.given["region"] = region
	}
	root, err := s.translate()
	if err != nil {
		return nil, err
	}
	parameters := map[string]string{"AWS::Region": s.regionOf, "AWS::StackName": s.name + "-" + s.stage}
	for name, value := range o.Parameters {
		if child(child(root, "Parameters"), name) != nil || strings.HasPrefix(name, "AWS::") {
			parameters[name] = value
		}
	}
	t, err := template.ReadNode(root, template.Options{File: file, Parameters: parameters})
	if err != nil {
		return nil, err
	}
	for _, w := range s.warnings {
		t.Warnf(w.Line, "%s", w.Text)
	}
	return t, nil
}

// readEnvironment is this program's, over what the files .env of the folder say if useDotenv is on.
func (s *service) readEnvironment() error {
	use := child(s.root, "useDotenv")
	if use != nil && use.Value == "true" {
		for _, name := range []string{".env", ".env." + s.stage} {
			data, err := os.ReadFile(filepath.Join(filepath.Dir(s.file), name)) //nolint:gosec // beside the caller's file
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(data)) {
				name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
				if value = strings.TrimSpace(value); ok && !strings.HasPrefix(name, "#") {
					s.env[strings.TrimSpace(name)] = strings.Trim(value, `"'`)
				}
			}
		}
	}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		s.env[name] = value
	}
	return nil
}

// stageAndRegion are asked for first, since others are made of them.
func (s *service) stageAndRegion() error {
	s.stage = cmp.Or(s.given["stage"], "dev")
	provider := child(s.root, "provider")
	for name, into := range map[string]*string{"stage": &s.stage, "region": &s.regionOf} {
		n, err := s.resolve(child(provider, name), 0)
		if err != nil {
			return err
		}
		if n != nil && n.Kind == yaml.ScalarNode && s.given[name] == "" {
			*into = n.Value
		}
	}
	s.regionOf = cmp.Or(s.given["region"], s.regionOf, "us-east-1")
	return nil
}
