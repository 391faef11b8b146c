// The Go client of the interop scenarios; see ../../README.md for what each of them does.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"

	"example.com/call/calling"
	dialplanev1 "example.com/call/gen/dialplane/v1"
)

// patience is for one scenario: what hangs is to leave time for the others.
const patience = 30 * time.Second

// world is what scenarios have to work with.
type world struct {
	connection *grpc.ClientConn
	calls      dialplanev1.CallServiceClient
	run        string
	digits     string
	sandbox    string
}

var scenarios = map[string]func(context.Context, *world) error{
	"create":      create,
	"reused":      reused,
	"partial":     partial,
	"all-failed":  allFailed,
	"bad-request": badRequest,
	"validate":    validate,
	"retry-info":  retryInfo,
	"results":     results,
	"watch":       watch,
	"cancel":      cancelCalls,
	"deadline":    deadline,
	"health":      healthChecks,
	"reflection":  reflects,
}

func main() {
	connection, err := calling.Connect()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer connection.Close()
	given := &world{
		connection: connection,
		calls:      dialplanev1.NewCallServiceClient(connection),
		run:        os.Getenv("INTEROP_RUN"),
		digits:     os.Getenv("INTEROP_NUMBERS"),
		sandbox:    os.Getenv("INTEROP_SANDBOX"),
	}
	for name := range strings.FieldsSeq(os.Getenv("INTEROP_SCENARIOS")) {
		if err := one(name, given); err != nil {
			fmt.Printf("FAILED %s: %s\n", name, strings.Join(strings.Fields(err.Error()), " "))
		} else {
			fmt.Println("ok", name)
		}
	}
}

func one(name string, given *world) error {
	scenario, known := scenarios[name]
	if !known {
		return fmt.Errorf("this client has no such scenario")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return scenario(ctx, given)
}

// number is one that ends with these digits (two to tell it from others, and two that choose what happens), and id a
// request id, of this run alone.
func (given *world) number(ending string) string { return "+9199" + given.digits + ending }
func (given *world) id(name string) string       { return given.run + "-go-" + name }

// request is one for calls to these numbers, each with a reference of its own.
func (given *world) request(name, route string, numbers ...string) *dialplanev1.CreateCallsRequest {
	request := &dialplanev1.CreateCallsRequest{RequestId: given.id(name), Route: route}
	for place, number := range numbers {
		request.Calls = append(request.Calls, &dialplanev1.CallSpec{
			ClientReference: fmt.Sprintf("%s-%d", given.id(name), place),
			To:              []string{number},
		})
	}
	return request
}

// within places calls with a deadline.
func (given *world) within(
	ctx context.Context, limit time.Duration, request *dialplanev1.CreateCallsRequest,
) (*dialplanev1.CreateCallsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return given.calls.CreateCalls(ctx, request)
}
