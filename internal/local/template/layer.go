package template

import (
	"go.yaml.in/yaml/v3"
)

const (
	typeServerlessLayer = "AWS::Serverless::LayerVersion"
	typeLayer           = "AWS::Lambda::LayerVersion"
)

// Layer is a layer of functions. Where its content is, is said as for a function's code.
type Layer struct {
	ID     string // logical id
	Line   int
	URI    string // a folder or a .zip, relative to the template
	Remote string // s3://bucket/key
	Asset  string // the CDK's
}

func (r *reader) readLayers() error {
	for res := range r.of(typeServerlessLayer, typeLayer) {
		var p struct {
			URI     yaml.Node `yaml:"ContentUri"`
			Content yaml.Node `yaml:"Content"`
		}
		if err := r.decode(res, &p); err != nil {
			return err
		}
		var where Function
		where.locate(&p.URI)
		where.locate(&p.Content)
		r.out.Layers = append(r.out.Layers, Layer{
			ID: res.id, Line: res.line, URI: where.CodeURI, Remote: where.Remote, Asset: value(child(res.metadata, "aws:asset:path")),
		})
	}
	return nil
}
