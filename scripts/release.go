//go:build ignore

// Release builds what a release has into one folder, the same bytes from the same source by the same Go and Node:
//
//	bellhop-VERSION-SYSTEM.tar.gz, .zip   the command with the page in it, for each system
//	bellhop-VERSION-aws.zip               the functions' zips, and a template and a Terraform module that deploy them
//	*.tgz                                 packages for npm: the command, a program for each system, the client, the construct for the CDK
//	NOTICES                               the licences of everything that is linked or embedded, also in each archive
//	bellhop-VERSION.cdx.json              the same as a bill of materials, in the format of CycloneDX
//	SHA256SUMS                            of all of these
//
// It needs npm; make release installs what the client and the construct are built by.
//
//	go run scripts/release.go -version v1.2.3 .bin/release
package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/release"
)

const everySystem = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64"

// date is that of every file in every archive; it is the one that npm writes.
var date = time.Date(1985, time.October, 26, 8, 15, 0, 0, time.UTC)

// files are what an archive holds, by path.
type files map[string]file

type file struct {
	text    []byte
	program bool // may be executed
}

// build is a release in the making.
type build struct {
	out     string
	version string // "v1.2.3"
	notices []byte
	licence []byte
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("release: ")
	version := flag.String("version", "", "the release's `version`, such as v1.2.3; default: what git describes")
	systems := flag.String("systems", everySystem, "what the command is built for, comma separated")
	arch := flag.String("arch", "arm64", "the functions' `processor`, arm64 as on AWS or amd64")
	construct := flag.Bool("cdk", true, "the construct for the CDK, whose tools are large")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: go run scripts/release.go [flags] FOLDER")
	}
	if err := run(flag.Arg(0), *version, strings.Split(*systems, ","), *arch, *construct); err != nil {
		log.Fatal(err)
	}
}

func run(out, version string, systems []string, arch string, withConstruct bool) error {
	if version == "" {
		version = described()
	}
	if !regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`).MatchString(version) {
		return fmt.Errorf("%s is not a version such as v1.2.3", version)
	}
	if err := errors.Join(os.RemoveAll(out), os.MkdirAll(out, 0o755)); err != nil {
		return err
	}
	b := &build{out: out, version: version}
	if err := b.make(systems, arch, withConstruct); err != nil {
		return err
	}
	return b.sum()
}

// described is a version made of the last tag and the commit, or of the release that the source becomes.
func described() string {
	text, err := exec.Command("git", "describe", "--tags", "--always", "--dirty", "--match", "v*").Output()
	switch name := strings.TrimSpace(string(text)); {
	case err != nil:
		return release.Next + "-devel"
	case strings.HasPrefix(name, "v"):
		return name
	default:
		return release.Next + "-devel-" + name
	}
}

func (b *build) make(systems []string, arch string, withConstruct bool) error {
	bom := filepath.Join(b.out, "bellhop-"+b.version+".cdx.json")
	notices := filepath.Join(b.out, "NOTICES")
	if err := command(nil, "go", "run", "scripts/licences.go", "-notices", notices, "-bom", bom, "-version", b.version); err != nil {
		return err
	}
	var err error
	if b.notices, err = os.ReadFile(notices); err != nil {
		return err
	}
	if b.licence, err = os.ReadFile("LICENSE"); err != nil {
		return err
	}
	platforms := map[string]string{}
	for _, system := range systems {
		platform, err := b.commandFor(system)
		if err != nil {
			return err
		}
		platforms["@bellhop/"+platform] = strings.TrimPrefix(b.version, "v")
	}
	if err := b.launcher(platforms); err != nil {
		return err
	}
	deployed, err := b.deployable(arch)
	if err != nil {
		return err
	}
	if err := b.client(); err != nil || !withConstruct {
		return err
	}
	return b.construct(deployed)
}

// commandFor builds the command for a system, as an archive and as a package of npm, and gives what Node calls the system.
func (b *build) commandFor(system string) (platform string, err error) {
	goos, goarch, _ := strings.Cut(system, "/")
	name := "bellhop"
	if goos == "windows" {
		name += ".exe"
	}
	text, err := b.compile("./cmd/bellhop", goos, goarch, "")
	if err != nil {
		return "", err
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		return "", err
	}
	base := "bellhop-" + b.version + "-" + goos + "-" + goarch
	all := b.legal(files{base + "/" + name: {text, true}, base + "/README.md": {readme, false}}, base+"/")
	if goos == "windows" {
		err = b.write(base+".zip", zipped(all))
	} else {
		err = b.write(base+".tar.gz", tarred(all))
	}
	if err != nil {
		return "", err
	}
	nodeOS, cpu := goos, goarch // as process.platform and process.arch are
	if goos == "windows" {
		nodeOS = "win32"
	}
	if goarch == "amd64" {
		cpu = "x64"
	}
	platform = nodeOS + "-" + cpu
	manifest := map[string]any{
		"name": "@bellhop/" + platform, "description": "The program of the package bellhop for " + goos + " on " + cpu + ".",
		"license": "MIT", "repository": map[string]any{"type": "git", "url": "git+https://github.com/bellhop-rt/bellhop.git"},
		"os": []string{nodeOS}, "cpu": []string{cpu}, "preferUnplugged": true,
	}
	return platform, b.npm(manifest, b.legal(files{"bin/" + name: {text, true}}, ""))
}

// launcher is the package bellhop, which finds the program of its platform.
func (b *build) launcher(platforms map[string]string) error {
	return b.npmOf("web/command", func(manifest map[string]any) { manifest["optionalDependencies"] = platforms }, nil)
}

// deployable builds the functions, and gives what bellhop-VERSION-aws.zip holds. Its template names the zips beside it.
func (b *build) deployable(arch string) (files, error) {
	template, err := os.ReadFile("template.yaml")
	if err != nil {
		return nil, err
	}
	text := string(template)
	all := files{}
	folders, err := filepath.Glob("functions/*")
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		program, err := b.compile("./"+folder, "linux", arch, "lambda.norpc")
		if err != nil {
			return nil, err
		}
		name := filepath.Base(folder) + ".zip"
		code, err := zipped(files{"bootstrap": {program, true}})()
		if err != nil {
			return nil, err
		}
		all[name] = file{text: code}
		if text, err = replaced(text, "CodeUri: functions/"+filepath.Base(folder)+"\n", "CodeUri: "+name+"\n", 1); err != nil {
			return nil, err
		}
	}
	for _, change := range []struct {
		from, to string
		times    int
	}{
		{"    Metadata: {BuildMethod: go1.x}\n", "", len(folders)}, // they are built
		{"TemplateURL: infra/monitoring.yaml\n", "TemplateURL: monitoring.yaml\n", 1},
		{"Value: " + release.Next + "-devel #", "Value: " + b.version + " #", 1},
	} {
		if text, err = replaced(text, change.from, change.to, change.times); err != nil {
			return nil, err
		}
	}
	if arch == "amd64" {
		if text, err = replaced(text, "Architectures: [arm64]\n", "Architectures: [x86_64]\n", 1); err != nil {
			return nil, err
		}
	}
	all["template.yaml"] = file{text: []byte(text)}
	for to, from := range map[string]string{"monitoring.yaml": "infra/monitoring.yaml", "main.tf": "infra/terraform/main.tf", "README.md": "infra/terraform/README.md"} {
		text, err := os.ReadFile(from)
		if err != nil {
			return nil, err
		}
		all[to] = file{text: text}
	}
	all = b.legal(all, "")
	return all, b.write("bellhop-"+b.version+"-aws.zip", zipped(all))
}

// replaced fails where the text is not as this program knows it.
func replaced(text, from, to string, times int) (string, error) {
	if n := strings.Count(text, from); n != times {
		return "", fmt.Errorf("template.yaml has %q %d times, not %d", from, n, times)
	}
	return strings.ReplaceAll(text, from, to), nil
}

// client packs @bellhop/client, which its own build makes.
func (b *build) client() error {
	if err := command(nil, "npm", "run", "--silent", "--prefix", "web/client", "build"); err != nil {
		return err
	}
	return b.npmOf("web/client", nil, nil)
}

// construct packs @bellhop/cdk, with what it deploys.
func (b *build) construct(deployed files) error {
	if err := command(nil, "npm", "run", "--silent", "--prefix", "infra/cdk", "build"); err != nil {
		return err
	}
	with := files{}
	for name, f := range deployed {
		if path.Ext(name) == ".zip" || path.Ext(name) == ".yaml" {
			with["aws/"+name] = f
		}
	}
	return b.npmOf("infra/cdk", nil, with)
}

// npmOf packs what the package.json of a folder calls its files.
func (b *build) npmOf(folder string, change func(manifest map[string]any), with files) error {
	text, err := os.ReadFile(filepath.Join(folder, "package.json"))
	if err != nil {
		return err
	}
	var manifest map[string]any
	if err := json.Unmarshal(text, &manifest); err != nil {
		return fmt.Errorf("%s: %w", folder, err)
	}
	for _, only := range []string{"scripts", "devDependencies"} { // for whoever develops it
		delete(manifest, only)
	}
	if change != nil {
		change(manifest)
	}
	all := b.legal(files{}, "")
	maps.Copy(all, with)
	listed, _ := manifest["files"].([]any)
	for _, entry := range listed {
		name, _ := entry.(string)
		if _, have := all[name]; have || name == "aws" {
			continue
		}
		if err := add(all, folder, name); err != nil {
			return err
		}
	}
	return b.npm(manifest, all)
}

// add reads a file, or all in a folder.
func add(all files, folder, name string) error {
	return filepath.WalkDir(filepath.Join(folder, name), func(at string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		to, err := filepath.Rel(folder, at)
		all[filepath.ToSlash(to)] = file{text: text, program: bytes.HasPrefix(text, []byte("#!"))}
		return err
	})
}

// npm writes a package as `npm pack` would call it.
func (b *build) npm(manifest map[string]any, all files) error {
	manifest["version"] = strings.TrimPrefix(b.version, "v")
	text, err := json.MarshalIndent(manifest, "", "  ")
	if err != nil {
		return err
	}
	packed := files{"package/package.json": {text: append(text, '\n')}}
	for name, f := range all {
		packed["package/"+name] = f
	}
	name := strings.NewReplacer("@", "", "/", "-").Replace(manifest["name"].(string))
	return b.write(name+"-"+strings.TrimPrefix(b.version, "v")+".tgz", tarred(packed))
}

// legal adds what has to go with every copy.
func (b *build) legal(all files, below string) files {
	all[below+"LICENSE"], all[below+"NOTICES"] = file{text: b.licence}, file{text: b.notices}
	return all
}

// compile builds a program, whose bytes do not tell where and when that was.
func (b *build) compile(from, goos, goarch, tags string) ([]byte, error) {
	to := filepath.Join(b.out, "program")
	defer func() { _ = os.Remove(to) }()
	log.Printf("%s for %s/%s", from, goos, goarch)
	err := command([]string{"CGO_ENABLED=0", "GOOS=" + goos, "GOARCH=" + goarch, "GOFLAGS="}, "go", "build", "-trimpath", "-buildvcs=false", "-tags", tags,
		"-ldflags", "-s -w -buildid= -X github.com/bellhop-rt/bellhop/internal/release.stamped="+b.version, "-o", to, from)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(to)
}

func command(env []string, name string, args ...string) error {
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), env...)
	c.Stderr = os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

func (b *build) write(name string, archive func() ([]byte, error)) error {
	text, err := archive()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(filepath.Join(b.out, name), text, 0o644)
}

func (f file) mode() os.FileMode {
	if f.program {
		return 0o755
	}
	return 0o644
}

func tarred(all files) func() ([]byte, error) {
	return func() ([]byte, error) {
		var out bytes.Buffer
		packed := gzip.NewWriter(&out)
		archive := tar.NewWriter(packed)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			f := all[name]
			if err := archive.WriteHeader(&tar.Header{Name: name, Size: int64(len(f.text)), Mode: int64(f.mode()), ModTime: date, Typeflag: tar.TypeReg}); err != nil {
				return nil, err
			}
			if _, err := archive.Write(f.text); err != nil {
				return nil, err
			}
		}
		err := errors.Join(archive.Close(), packed.Close())
		return out.Bytes(), err
	}
}

func zipped(all files) func() ([]byte, error) {
	return func() ([]byte, error) {
		var out bytes.Buffer
		archive := zip.NewWriter(&out)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: date}
			header.SetMode(all[name].mode())
			entry, err := archive.CreateHeader(header)
			if err != nil {
				return nil, err
			}
			if _, err := entry.Write(all[name].text); err != nil {
				return nil, err
			}
		}
		err := archive.Close()
		return out.Bytes(), err
	}
}

// sum writes SHA256SUMS, as sha256sum -c reads it.
func (b *build) sum() error {
	entries, err := os.ReadDir(b.out)
	if err != nil {
		return err
	}
	var list bytes.Buffer
	for _, entry := range entries {
		in, err := os.Open(filepath.Join(b.out, entry.Name()))
		if err != nil {
			return err
		}
		hash := sha256.New()
		_, err = io.Copy(hash, in)
		if err = errors.Join(err, in.Close()); err != nil {
			return err
		}
		fmt.Fprintf(&list, "%x  %s\n", hash.Sum(nil), entry.Name())
	}
	return os.WriteFile(filepath.Join(b.out, "SHA256SUMS"), list.Bytes(), 0o644)
}
