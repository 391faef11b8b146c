// Places one call and follows it to its end.
//
//	go run . +919900000000 [ROUTE [REQUEST_ID]]
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"time"

	"example.com/call/calling"
	dialplanev1 "example.com/call/gen/dialplane/v1"
)

func main() {
	if len(os.Args) < 2 || len(os.Args) > 4 {
		fmt.Fprintln(os.Stderr, "usage: call NUMBER [ROUTE [REQUEST_ID]]")
		os.Exit(2)
	}
	if err := run(os.Args[1], argument(2, ""), argument(3, rand.Text())); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func argument(index int, otherwise string) string {
	if index < len(os.Args) {
		return os.Args[index]
	}
	return otherwise
}

func run(number, route, requestID string) error {
	connection, err := calling.Connect()
	if err != nil {
		return err
	}
	defer connection.Close()
	client := dialplanev1.NewCallServiceClient(connection)
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()

	// Printed before anything is sent: with this id the same command may be given again, and dials nobody twice.
	fmt.Println("request", requestID)
	answer, err := calling.Place(ctx, client, &dialplanev1.CreateCallsRequest{
		RequestId: requestID,
		Route:     route,
		Calls:     []*dialplanev1.CallSpec{{To: []string{number}}},
	})
	if err != nil {
		return err
	}
	if answer.GetReplayed() {
		fmt.Println("was placed before")
	}
	return calling.Follow(ctx, client, requestID, func(call *dialplanev1.Call) {
		fmt.Println(call.GetCallId(), call.GetState(), call.GetError().GetMessage())
	})
}
