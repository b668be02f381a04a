package template

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// samDomain is the Domain of SAM's APIs.
type samDomain struct {
	Name     string    `yaml:"DomainName"`
	BasePath yaml.Node `yaml:"BasePath"`
}

// mappings are the paths of the domain that lead to the API: the root if none is given.
func (d *samDomain) mappings() (list []string) {
	if d.Name == "" {
		return nil
	}
	for _, path := range listOf(&d.BasePath) {
		list = append(list, trimmed(path))
	}
	if list == nil {
		list = []string{""}
	}
	return list
}

// trimmed is a base path as it is in a URL; (none) is the root.
func trimmed(path string) string {
	if path == "(none)" {
		return ""
	}
	return strings.Trim(path, "/")
}

// readMappings adds the paths of custom domains that lead to an API by resources of their own. That each domain has a name of its own is
// nothing here: their paths share one host.
func (r *reader) readMappings(apiID string, list *[]string) error {
	for res := range r.of("AWS::ApiGatewayV2::ApiMapping", "AWS::ApiGateway::BasePathMapping") {
		var p struct {
			API     string `yaml:"ApiId"`
			RESTAPI string `yaml:"RestApiId"`
			Key     string `yaml:"ApiMappingKey"`
			Path    string `yaml:"BasePath"`
		}
		if err := r.decode(res, &p); err != nil {
			return err
		}
		if path := trimmed(p.Key + p.Path); p.API+p.RESTAPI == apiID && !slices.Contains(*list, path) {
			*list = append(*list, path)
		}
	}
	return nil
}
