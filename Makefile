# The CI runs these very targets. What they need beside Go, Node, Java and Python they fetch once, into .tools/.

GO ?= go
GOLANGCI_LINT = $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUNCTIONS = $(notdir $(wildcard functions/*))
FUZZTIME ?= 10s
SEEDS ?= 10000
ENV ?= dev
# What `sam deploy` was told, by samconfig.toml, which --guided writes.
TOLD = scripts/sam-tools python scripts/samconfig.py $(ENV)
STACK = "$$($(TOLD) stack_name)"
SAM_REGION = $$($(TOLD) region | sed 's/^/--region /') $$($(TOLD) profile | sed 's/^/--profile /')
PAGE = web/demo/dist/page/index.html
PAGE_SOURCES = $(shell find web/client/src web/demo/src web/demo/public -type f) \
	$(addprefix web/demo/, index.html package.json tsconfig.json vite.config.ts) web/package-lock.json

.PHONY: help run check test test-release lint licences docs fmt bench fuzz simulate build release validate invoke deploy ministack localstack deploy-local delete logs outputs clean
.DEFAULT_GOAL := help

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## start everything on this machine: the API, the table and the demo page (ARGS=… adds flags)
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(PAGE) || echo 'The demo page could not be built; all else starts without it.'; \
	else echo 'npm is not installed, so the demo page is not built; all else starts without it.'; fi
	$(GO) build -o .bin/bellhop ./cmd/bellhop
	exec .bin/bellhop dev $(ARGS)

# What is embedded by web/demo. Vite writes it anew whenever a source is newer, npm installs when the lock file is.
$(PAGE): $(PAGE_SOURCES) web/node_modules/.package-lock.json
	cd web && npm run build --workspace demo

web/node_modules/.package-lock.json: web/package-lock.json
	cd web && npm ci --no-audit --no-fund

test: validate lint ## install what is needed and run every test
	scripts/dynamodb-local sh -c '$(GO) test -race ./... && $(GO) test ./internal/check/interleaving'
	scripts/test-deployed
	scripts/builders .bin/built && $(GO) test ./internal/local/survey -run TestBuilders -built $(CURDIR)/.bin/built
	@if [ -f web/package-lock.json ]; then \
		set -ex; \
		(cd web; npm ci --no-audit --no-fund; npm run build --workspace demo); \
		$(GO) build -o .bin/bellhop ./cmd/bellhop; \
		CHROMIUM=$$(scripts/chromium); BELLHOP=$(CURDIR)/.bin/bellhop; export CHROMIUM BELLHOP; \
		scripts/test-release; \
		cd web; npm test; \
	fi

# Without DynamoDB Local, whose address would be another each time, Go runs again only what has changed.
check: web/node_modules/.package-lock.json ## what to run every few minutes: mistakes, Go tests that changed, types, web tests of what is not committed
	$(GO) vet ./...
	$(GOLANGCI_LINT) run ./...
	$(GO) test ./...
	cd web/client && npx tsc --noEmit && npx vitest run --project node --changed --passWithNoTests
	cd web/demo && npx tsc --noEmit

lint: ## find mistakes without running anything
	$(GO) vet ./...
	$(GO) vet -tags example ./app ./cmd/bellhop
	$(GOLANGCI_LINT) run ./...
	$(GOLANGCI_LINT) fmt --diff
	@for script in $$(grep -l '^#!.*bash' scripts/* .ci/run); do bash -n "$$script" || exit 1; done
	$(MAKE) --no-print-directory licences

licences: ## check the licences of everything that is deployed or embedded
	$(GO) run scripts/licences.go

docs: ## write what is made of code anew: COSTS.md, PROTOCOL.md, DEPLOY.md, CLI.md, types of the client, golden frames; make test says when
	$(GO) test ./internal/check/costs ./internal/check/tables ./internal/check/manuals -run 'TestCosts|TestCopies|TestHelp' -write -count=1

fmt: ## lay out the Go code
	$(GOLANGCI_LINT) fmt

bench: ## measure
	$(GO) test -run '^$$' -bench . -benchmem ./...

fuzz: ## throw bytes at every parser, FUZZTIME each
	@$(GO) test -list '^Fuzz' ./... | \
		awk '/^Fuzz/ {names[++n] = $$1} /^ok/ {for (i = 1; i <= n; i++) print $$2, names[i]; n = 0}' | \
		while read -r package name; do \
			$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null || exit 1; \
		done

simulate: ## run the simulation of internal/check/simulation with SEEDS seeds; one that fails is printed
	$(GO) test ./internal/check/simulation -run 'TestSimulation$$' -seeds $(SEEDS) -timeout 0 -v

build: ## build the functions as they are deployed, into .bin/functions
	@for name in $(FUNCTIONS); do \
		echo "functions/$$name"; \
		CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -tags lambda.norpc -trimpath -ldflags '-s -w' \
			-o ".bin/functions/$$name/bootstrap" "./functions/$$name" || exit 1; \
	done

release: $(PAGE) infra/cdk/node_modules/.package-lock.json ## build what a release has into .bin/release (VERSION=v1.2.3)
	$(GO) run scripts/release.go -version '$(VERSION)' .bin/release

infra/cdk/node_modules/.package-lock.json: infra/cdk/package-lock.json
	cd infra/cdk && npm ci --no-audit --no-fund

test-release: $(PAGE) infra/cdk/node_modules/.package-lock.json ## build a release twice, install it and deploy it as on a machine without Go
	scripts/test-release all

validate: ## check the template
	scripts/sam-tools sam validate --lint
	scripts/sam-tools cfn-lint template.yaml infra/monitoring.yaml

invoke: ## run a function in a container as SAM does: make invoke ARGS='ConnectFunction events/connect.json'
	scripts/local-invoke $(or $(ARGS),ConnectFunction events/connect.json)

deploy: ## check parameters, deploy to your AWS account by samconfig.toml, and try it; ENV=dev or prod (ARGS=--guided asks for everything)
	scripts/deploy $(ENV) $(ARGS)

ministack: ## run an emulator of AWS here until it is interrupted, for deploy-local; without Docker, see infra/ministack/README.md
	scripts/ministack

localstack: ## start LocalStack's last free release in Docker, for deploy-local; see infra/localstack/README.md
	docker compose -f infra/localstack/compose.yaml up --detach --wait

deploy-local: ## deploy the stack to the ministack or LocalStack that runs here (ARGS=NAME=VALUE… sets parameters)
	scripts/deploy-local $(ARGS)

outputs: ## print the addresses of what is deployed as ENV
	scripts/sam-tools sam list stack-outputs --stack-name $(STACK) $(SAM_REGION)

logs: ## follow the functions' logs of ENV
	scripts/sam-tools sam logs --stack-name $(STACK) $(SAM_REGION) --tail

delete: ## delete what is deployed as ENV; the table is kept
	scripts/sam-tools sam delete --stack-name $(STACK) $(SAM_REGION)

clean: ## remove what was built and fetched
	rm -rf .bin .aws-sam .tools web/node_modules web/demo/dist/page infra/cdk/node_modules infra/cdk/dist
