package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// The files of dev --tls in the state folder: an authority, and a certificate each for the server and for a client.
const (
	devAuthorityFile    = "ca.pem"
	devAuthorityKeyFile = "ca.key"
	devServerCertFile   = "server.pem"
	devServerKeyFile    = "server.key"
	devClientCertFile   = "client.pem"
	devClientKeyFile    = "client.key"
)

const (
	devTLSIssuer = "https://localhost:8443"

	devAuthorityLife = 10 * 365 * 24 * time.Hour
	devLeafLife      = 365 * 24 * time.Hour
	devLeafRenewal   = 30 * 24 * time.Hour // before its end
)

// fillInTLS sets where the second listener of dev --tls is: one port behind the issuer's.
func (d *devCmd) fillInTLS() {
	s := &d.Settings
	issuer, err := url.Parse(s.Issuer)
	if !d.TLS || err != nil {
		return
	}
	if port, err := strconv.Atoi(or(issuer.Port(), "443")); err == nil {
		s.MTLSListen = or(s.MTLSListen, net.JoinHostPort("127.0.0.1", strconv.Itoa(port+1)))
	}
	if _, port, err := net.SplitHostPort(s.MTLSListen); err == nil {
		s.MTLSURL = or(s.MTLSURL, "https://"+net.JoinHostPort(issuer.Hostname(), port)+issuer.EscapedPath())
	}
}

// checkTLS finds settings that contradict --tls, or that nothing but --tls could do without.
func (d *devCmd) checkTLS(c config) (problems []string) {
	if !d.TLS {
		if c.mtls.listen != "" && c.mtls.certFile == "" {
			problems = append(problems, lacksCertificate)
		}
		return problems
	}
	if u, err := url.Parse(c.issuer); err != nil || u.Scheme != "https" {
		problems = append(problems, "--tls needs an https issuer; it is \""+c.issuer+"\"")
	}
	if s := d.Settings; s.TLSCertFile != "" || s.MTLSCertFile != "" || s.MTLSClientCAFile != "" {
		problems = append(problems, "--tls makes certificates of its own: leave tls-cert-file, mtls-cert-file and mtls-client-ca-file out")
	}
	return problems
}

// useDevCertificates has a configuration use what openDevCertificates makes.
func useDevCertificates(c *config, dir string) {
	c.certFile, c.keyFile = filepath.Join(dir, devServerCertFile), filepath.Join(dir, devServerKeyFile)
	c.mtls.certFile, c.mtls.keyFile = c.certFile, c.keyFile
	c.mtls.caFile = filepath.Join(dir, devAuthorityFile)
}

// openDevCertificates makes sure that the state folder holds certificates that are good for a while yet: one for a server
// at these URLs, and one for a client.
func openDevCertificates(dir string, now time.Time, urls ...string) error {
	authority, err := openDevAuthority(dir, now)
	if err != nil {
		return err
	}
	server := &x509.Certificate{
		Subject: pkix.Name{CommonName: "dev-server"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, location := range urls {
		u, err := url.Parse(location)
		if err != nil {
			return err
		}
		if ip := net.ParseIP(u.Hostname()); ip != nil {
			server.IPAddresses = append(server.IPAddresses, ip)
		} else {
			server.DNSNames = append(server.DNSNames, u.Hostname())
		}
	}
	client := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "dev-client", Organization: []string{"authserver dev"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, DNSNames: []string{"client.example"},
	}
	return errors.Join(
		authority.keep(server, filepath.Join(dir, devServerCertFile), filepath.Join(dir, devServerKeyFile), now),
		authority.keep(client, filepath.Join(dir, devClientCertFile), filepath.Join(dir, devClientKeyFile), now),
	)
}

// devAuthority vouches for the certificates of one state folder. Its key stays there, for further ones made by hand.
type devAuthority struct{ pair tls.Certificate }

func openDevAuthority(dir string, now time.Time) (devAuthority, error) {
	certFile, keyFile := filepath.Join(dir, devAuthorityFile), filepath.Join(dir, devAuthorityKeyFile)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return devAuthority{pair}, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "authserver dev, on this machine only"}, NotAfter: now.Add(devAuthorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	return devAuthority{}.issue(template, certFile, keyFile, now)
}

// keep issues the certificate of the template unless the one in the file will do.
func (a devAuthority) keep(template *x509.Certificate, certFile, keyFile string, now time.Time) error {
	if pair, err := tls.LoadX509KeyPair(certFile, keyFile); err == nil && a.stillGood(pair.Leaf, template, now) {
		return nil
	}
	template.NotAfter, template.KeyUsage = now.Add(devLeafLife), x509.KeyUsageDigitalSignature
	_, err := a.issue(template, certFile, keyFile, now)
	return err
}

// stillGood tells whether a certificate is this authority's, lasts for a while, and has every name of the template.
func (a devAuthority) stillGood(leaf, template *x509.Certificate, now time.Time) bool {
	good := leaf.CheckSignatureFrom(a.pair.Leaf) == nil && leaf.NotAfter.After(now.Add(devLeafRenewal))
	for _, name := range template.DNSNames {
		good = good && leaf.VerifyHostname(name) == nil
	}
	for _, ip := range template.IPAddresses {
		good = good && leaf.VerifyHostname(ip.String()) == nil
	}
	return good
}

// issue makes a key and a certificate for it, and writes both; without a pair of its own the certificate signs itself.
func (a devAuthority) issue(template *x509.Certificate, certFile, keyFile string, now time.Time) (devAuthority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return devAuthority{}, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return devAuthority{}, err
	}
	template.NotBefore = now.Add(-time.Hour) // for clocks that are behind
	parent, signer := template, any(key)
	if a.pair.Leaf != nil {
		parent, signer = a.pair.Leaf, a.pair.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return devAuthority{}, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return devAuthority{}, err
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600); err != nil {
		return devAuthority{}, err
	}
	if err := os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return devAuthority{}, err
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	return devAuthority{pair}, err
}

// whereTLS are the lines of dev's banner about certificates.
func (d *devCmd) whereTLS(c config, dir string) string {
	if !d.TLS {
		return ""
	}
	return fmt.Sprintf(`
  mutual TLS  %s   (the endpoints once more; asks for a client certificate)
  authority   %s   (signed the server's certificate and the client's; trust it for this only)
  client      %s   key %s`, c.mtls.url, c.mtls.caFile, filepath.Join(dir, devClientCertFile), filepath.Join(dir, devClientKeyFile))
}
