import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CfnStack, Stack } from "aws-cdk-lib";
import { ICertificate } from "aws-cdk-lib/aws-certificatemanager";
import { Grant, IGrantable } from "aws-cdk-lib/aws-iam";
import { Function, IFunction } from "aws-cdk-lib/aws-lambda";
import { Asset } from "aws-cdk-lib/aws-s3-assets";
import { ISecret } from "aws-cdk-lib/aws-secretsmanager";
import { ITopic } from "aws-cdk-lib/aws-sns";
import { Construct } from "constructs";

/** How tokens are verified (one of the first two is needed), and what else is not as the template has it. */
export interface BellhopProps {
  /** Holds the key of HS256 that tokens are signed with. */
  readonly jwtSecret?: ISecret;
  /** Address of the key set that signs the tokens. */
  readonly jwksUrl?: string;
  /** A domain of your own. Its DNS has to lead to `domainTarget`. */
  readonly domain?: { readonly name: string; readonly certificate: ICertificate };
  /** Who is told when something is wrong, and of how much; "on" are the alarms on what nobody else would notice. */
  readonly alarms?: { readonly level?: "on" | "full" | "off"; readonly topic?: ITopic; readonly email?: string };
  /** Any other parameter of the template, by its name: https://github.com/bellhop-rt/bellhop/blob/main/docs/DEPLOY.md#parameters */
  readonly parameters?: Readonly<Record<string, string>>;
}

/** Bellhop: the template of its release with the functions beside it, as a nested stack. */
export class Bellhop extends Construct {
  /** Where clients connect: wss://… */
  readonly url: string;
  /** Where the DNS of the domain has to lead, by an alias or a CNAME; only with `domain`. */
  readonly domainTarget?: string;
  /** What programs invoke to emit: their BELLHOP_EMIT_FUNCTION. */
  readonly emitFunction: IFunction;
  /** Which Bellhop it is. */
  readonly version: string;
  /** The nested stack. */
  readonly stack: CfnStack;

  constructor(scope: Construct, id: string, props: BellhopProps) {
    super(scope, id);
    const { jwtSecret, jwksUrl, domain, alarms = {}, parameters = {} } = props;
    if (jwtSecret === undefined && jwksUrl === undefined && !parameters.JwtSecretArn && !parameters.JwksUrl) {
      throw new Error("Bellhop: give jwtSecret or jwksUrl, or nobody could connect.");
    }
    const given: Record<string, string | undefined> = {
      JwtSecretArn: jwtSecret?.secretArn,
      JwtSecretKeyArn: jwtSecret?.encryptionKey?.keyArn,
      JwksUrl: jwksUrl,
      DomainName: domain?.name,
      CertificateArn: domain?.certificate.certificateArn,
      Monitoring: alarms.level,
      AlarmTopicArn: alarms.topic?.topicArn,
      AlarmEmail: alarms.email,
      ...parameters,
    };
    const set: Record<string, string> = {};
    for (const [name, value] of Object.entries(given)) if (value !== undefined) set[name] = value;

    const text = located(this, readFileSync(join(folder, "template.yaml"), "utf8"));
    const [known = ""] = text.split("\nRules:");
    for (const name of Object.keys(set)) {
      if (!known.includes(`\n  ${name}:\n    Description:`)) throw new Error(`Bellhop: there is no parameter ${name}.`);
    }
    const written = join(mkdtempSync(join(tmpdir(), "bellhop-")), "template.yaml");
    writeFileSync(written, text);
    const template = new Asset(this, "template.yaml", { path: written });
    this.stack = new CfnStack(this, "Stack", { templateUrl: template.httpUrl, parameters: set });

    this.url = this.output(domain === undefined ? "WebSocketUrl" : "DomainUrl");
    if (domain !== undefined) this.domainTarget = this.output("DomainTarget");
    this.version = this.output("Version");
    this.emitFunction = Function.fromFunctionAttributes(this, "Emit", { functionArn: this.output("EmitFunctionArn"), sameEnvironment: true });
  }

  /** Lets a program emit: it may invoke the emit function, and with that do everything. */
  grantEmit(program: IGrantable): Grant {
    return Grant.addToPrincipal({ grantee: program, actions: ["lambda:InvokeFunction"], resourceArns: [this.emitFunction.functionArn] });
  }

  /** An output of the template, by its name. */
  output(name: string): string {
    return this.stack.getAtt(`Outputs.${name}`).toString();
  }
}

const folder = join(__dirname, "../aws");

/** The template with the addresses of what lies beside it, once that has been uploaded; nothing else of it is changed. */
function located(scope: Construct, template: string): string {
  const stack = Stack.of(scope);
  return template.replace(/(CodeUri|TemplateURL): ([a-z]+\.(?:zip|yaml))\n/g, (_, key: string, file: string) => {
    const asset = new Asset(scope, file, { path: join(folder, file) });
    const where: unknown = stack.resolve(key === "CodeUri" ? { Bucket: asset.s3BucketName, Key: asset.s3ObjectKey } : asset.httpUrl);
    return `${key}: ${JSON.stringify(where)}\n`; // JSON is YAML
  });
}
