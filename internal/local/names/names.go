// Package names has programs on this machine find a server here under the names that services have on AWS, and with HTTPS as there.
//
// A function that pushes to its clients builds an address of what it is given: https://{domainName}/{stage}, or
// https://{apiId}.execute-api.{region}.amazonaws.com/{stage}. Here the first is the server's own address, which speaks plain HTTP, and the
// second is nobody's. Handlers in Node.js and Python are redirected by their runtime; whatever else there is gets three things:
//
//   - The server answers TLS on its own port, beside plain HTTP, with a certificate for whatever name it is called by.
//   - The certificates are of an authority that is made at the start, kept in memory, and told to the functions alone, by the variables
//     that OpenSSL, the AWS SDKs, Go, Node.js, curl and Java read.
//   - What is asked for by a name of AWS's that the server answers for is led to it by a proxy, which the functions find in HTTPS_PROXY.
//     All else goes where it would have gone.
package names

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/bellhop-rt/bellhop/internal/local/body"
)

// Gate is an authority with its proxy, for one server.
type Gate struct {
	folder string // of the files that functions read
	proxy  *proxy
	key    *ecdsa.PrivateKey
	root   *x509.Certificate

	mu     sync.Mutex
	issued map[string]*tls.Certificate
}

const (
	lifetime = 7 * 24 * time.Hour
	backdate = time.Hour // for clocks that differ
	maxNames = 1000      // certificates that are kept
	password = "changeit"
)

// Open makes an authority and starts its proxy. server is the host and port that names lead to; patterns are the names, in which a * stands
// for any characters.
func Open(server string, patterns ...string) (*Gate, error) {
	g := &Gate{issued: map[string]*tls.Certificate{}}
	var err error
	if g.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	now := time.Now()
	whole, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bellhop dev, this run alone"},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(lifetime),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "bellhop dev, this run alone"}}, &g.key.PublicKey, g.key)
	if err == nil {
		g.root, err = x509.ParseCertificate(whole)
	}
	if err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	if err := g.writeFiles(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(g.folder))
	}
	if g.proxy, err = startProxy(server, patterns, body.Time); err != nil {
		return nil, errors.Join(err, os.RemoveAll(g.folder))
	}
	return g, nil
}

// Close ends the proxy and removes the files.
func (g *Gate) Close() error { return errors.Join(g.proxy.close(), os.RemoveAll(g.folder)) }

// The files in the folder.
const (
	rootFile   = "ca.pem"     // the authority
	bundleFile = "bundle.pem" // and those that this machine trusts
	storeFile  = "trust.p12"  // the same for Java
)

func (g *Gate) writeFiles() error {
	var err error
	if g.folder, err = os.MkdirTemp("", "bellhop-ca-"); err != nil {
		return fmt.Errorf("make a folder for certificates: %w", err)
	}
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.root.Raw})
	trusted := trustedHere()
	list := []*x509.Certificate{g.root}
	for rest := trusted; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			list = append(list, c)
		}
	}
	store, err := pkcs12.Modern.EncodeTrustStore(list, password)
	if err != nil {
		return fmt.Errorf("write certificates for Java: %w", err)
	}
	for name, content := range map[string][]byte{rootFile: own, bundleFile: bytes.Join([][]byte{own, trusted}, nil), storeFile: store} {
		if err := os.WriteFile(filepath.Join(g.folder, name), content, 0o600); err != nil {
			return fmt.Errorf("write certificates: %w", err)
		}
	}
	return nil
}

// trustedHere are the authorities that programs on this machine trust, as PEM; nothing if they are not in a file.
func trustedHere() []byte {
	files := []string{
		"/etc/ssl/certs/ca-certificates.crt", // Debian, Alpine, Arch
		"/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, Amazon Linux
		"/etc/ssl/ca-bundle.pem",             // openSUSE
		"/etc/ssl/cert.pem",                  // macOS, BSD
	}
	for _, pair := range os.Environ() {
		if file, ok := strings.CutPrefix(pair, "SSL_CERT_FILE="); ok {
			files = append([]string{file}, files...)
		}
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && len(text) > 0 { //nolint:gosec // these are the system's own
			return text
		}
	}
	return nil
}

// Environment has a program trust the authority, and with proxied go by the proxy. A program whose runtime leads names here by itself needs
// none.
func (g *Gate) Environment(proxied bool) map[string]string {
	bundle := filepath.Join(g.folder, bundleFile)
	env := map[string]string{
		"NODE_EXTRA_CA_CERTS": filepath.Join(g.folder, rootFile),
		"SSL_CERT_FILE":       bundle, "AWS_CA_BUNDLE": bundle, "CURL_CA_BUNDLE": bundle, "REQUESTS_CA_BUNDLE": bundle,
	}
	if !proxied {
		return env
	}
	host, port, _ := net.SplitHostPort(g.proxy.address) // it is one
	direct := "localhost,127.0.0.1,::1,169.254.169.254,169.254.170.2"
	maps.Copy(env, map[string]string{
		"HTTPS_PROXY": "http://" + g.proxy.address, "https_proxy": "http://" + g.proxy.address, "NO_PROXY": direct, "no_proxy": direct,
		"JAVA_TOOL_OPTIONS": strings.Join([]string{
			"-Dhttps.proxyHost=" + host, "-Dhttps.proxyPort=" + port,
			"-Djavax.net.ssl.trustStore=" + filepath.Join(g.folder, storeFile), "-Djavax.net.ssl.trustStoreType=PKCS12", "-Djavax.net.ssl.trustStorePassword=" + password,
		}, " "),
	})
	return env
}

// certificate is one for the name that a client asks for, or for the address that it has come to.
func (g *Gate) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := hello.ServerName
	if name == "" {
		name, _, _ = net.SplitHostPort(hello.Conn.LocalAddr().String())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.issued[name]; c != nil {
		return c, nil
	}
	if len(g.issued) >= maxNames {
		return nil, fmt.Errorf("more than %d names were asked for", maxNames)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("certify %s: %w", name, err)
	}
	leaf := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name[:min(len(name), 64)]}, NotBefore: g.root.NotBefore, NotAfter: g.root.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, DNSNames: []string{name},
	}
	if ip := net.ParseIP(name); ip != nil {
		leaf.DNSNames, leaf.IPAddresses = nil, []net.IP{ip}
	}
	whole, err := x509.CreateCertificate(rand.Reader, leaf, g.root, &g.key.PublicKey, g.key)
	if err != nil {
		return nil, fmt.Errorf("certify %s: %w", name, err)
	}
	c := &tls.Certificate{Certificate: [][]byte{whole, g.root.Raw}, PrivateKey: g.key}
	g.issued[name] = c
	return c, nil
}
