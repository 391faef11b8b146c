package calling

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// Connect makes the connection that the environment describes: DIALPLANE_ADDRESS ("127.0.0.1:50051"), DIALPLANE_CA (a
// PEM file: speak TLS, and trust this authority), DIALPLANE_CERTIFICATE and DIALPLANE_KEY (PEM files: who we are), and
// DIALPLANE_TOKEN.
func Connect() (*grpc.ClientConn, error) {
	address := os.Getenv("DIALPLANE_ADDRESS")
	if address == "" {
		address = "127.0.0.1:50051"
	}
	transport, err := transportCredentials()
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		// Without pings, a stream never hears that the other end is gone.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}),
	}
	if token := os.Getenv("DIALPLANE_TOKEN"); token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(token)))
	}
	return grpc.NewClient(address, options...)
}

func transportCredentials() (credentials.TransportCredentials, error) {
	authority := os.Getenv("DIALPLANE_CA")
	if authority == "" {
		return insecure.NewCredentials(), nil
	}
	pem, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("there is no certificate in %s", authority)
	}
	if certificate := os.Getenv("DIALPLANE_CERTIFICATE"); certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, os.Getenv("DIALPLANE_KEY"))
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config), nil
}

type bearer string

func (token bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(token)}, nil
}

// The gateway may be on this machine, without TLS. Return true where it never is.
func (bearer) RequireTransportSecurity() bool { return false }
