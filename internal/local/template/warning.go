package template

import (
	"slices"
	"strings"
)

// notEmulated are the properties of a type of resource that change what happens on AWS and do nothing here, each with what is missing.
func notEmulated(kind string) map[string]string {
	switch kind {
	case typeServerlessFunction, typeLambdaFunction:
		return map[string]string{
			"FunctionUrlConfig": "function URLs are not served", "FileSystemConfigs": "there is no file system",
			"ImageConfig": "what overrides the image's own settings is left out", "DurableConfig": "durable executions are not emulated",
		}
	case "AWS::ApiGatewayV2::Integration":
		return map[string]string{"ContentHandlingStrategy": "payloads are not converted", "ResponseParameters": "the parameters of the response are not mapped"}
	case "AWS::ApiGatewayV2::IntegrationResponse":
		return map[string]string{"ContentHandlingStrategy": "payloads are not converted", "ResponseParameters": "the parameters of the response are not mapped"}
	}
	return nil
}

func (r *reader) warnOf(res *resource) {
	missing := notEmulated(res.kind)
	for key := range pairs(res.props) {
		if text, ok := missing[key.Value]; ok {
			r.warnf(key.Line, "%s: %s: %s", res.id, key.Value, text)
		}
		if key.Value == "Fn::Transform" {
			r.warnf(key.Line, "%s: the transform is not run: the properties that it would make are missing", res.id)
		}
	}
}

// warnOfResources names the resources that could matter to the API and are not there. Those that could not (roles, alarms, logs) are
// passed over, and those that functions use are the concern of who runs the functions.
func (r *reader) warnOfResources() {
	for _, res := range r.resources {
		switch res.kind {
		case "AWS::CloudFormation::Stack", "AWS::Serverless::Application":
			r.warnf(res.line, "%s: nested stacks are not read", res.id)
		case "AWS::Serverless::StateMachine", "AWS::StepFunctions::StateMachine":
			r.warnf(res.line, "%s: state machines are not run", res.id)
		case "AWS::S3::Bucket":
			if child(child(res.props, "NotificationConfiguration"), "LambdaConfigurations") != nil {
				r.warnf(res.line, "%s: %s", res.id, noBuckets)
			}
		case "AWS::Pipes::Pipe":
			r.warnf(res.line, "%s: pipes are not run", res.id)
		case "AWS::ApiGatewayV2::Deployment":
			r.warnOfDeployment(res)
		}
		if strings.HasPrefix(res.kind, "Custom::") || res.kind == "AWS::CloudFormation::CustomResource" {
			r.warnf(res.line, "%s: custom resources are not made", res.id)
		}
	}
}

// warnOfDeployment tells of a mistake that shows on AWS only: a deployment that is made before there are routes fails, or has none.
func (r *reader) warnOfDeployment(res *resource) {
	depends := []string{value(res.dependsOn)}
	if res.dependsOn != nil {
		for _, n := range res.dependsOn.Content {
			depends = append(depends, n.Value)
		}
	}
	if !slices.ContainsFunc(depends, func(id string) bool {
		other := r.byID[id]
		return other != nil && other.kind == "AWS::ApiGatewayV2::Route"
	}) {
		r.warnf(res.line, "%s: a deployment without DependsOn of the routes may be made before them, and AWS refuses one without routes", res.id)
	}
}
