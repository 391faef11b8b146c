// Package calling places calls through dialplane so that nobody is dialled twice, and follows them until they are over.
package calling

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dialplanev1 "example.com/call/gen/dialplane/v1"
)

const (
	attempts  = 5
	patience  = 30 * time.Second // for one attempt
	firstWait = 500 * time.Millisecond
	longWait  = 30 * time.Second // the longest that nobody asked for
	tooLong   = 5 * time.Minute  // to wait, whoever asks for it
)

// Place sends the request, and sends the very same one again as long as its answer is missing.
//
// The request_id is what makes that safe: under one id the gateway places the calls once. Make it once, where the
// wish to call arises, keep it with that (in your database, say), and use it for every try, after a crash too.
func Place(
	ctx context.Context, client dialplanev1.CallServiceClient, request *dialplanev1.CreateCallsRequest,
) (*dialplanev1.CreateCallsResponse, error) {
	if request.GetRequestId() == "" {
		return nil, errors.New("a request without a request_id can't be repeated safely")
	}
	for attempt := 1; ; attempt++ {
		answer, err := placeOnce(ctx, client, request)
		if err == nil || attempt == attempts || ctx.Err() != nil || !worthRepeating(err) {
			return answer, err
		}
		if pause(ctx, err, attempt) != nil {
			return nil, err
		}
	}
}

func placeOnce(
	ctx context.Context, client dialplanev1.CallServiceClient, request *dialplanev1.CreateCallsRequest,
) (*dialplanev1.CreateCallsResponse, error) {
	// A deadline ends the waiting and not the placing: the next try gets the answer that this one missed.
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return client.CreateCalls(ctx, request)
}

// worthRepeating tells whether the very same request may have another answer.
func worthRepeating(err error) bool {
	if Detail[*dialplanev1.CreateCallsResponse](err) != nil {
		return false // The calls came along: this is what is recorded under the request_id, for good.
	}
	if Detail[*errdetails.ErrorInfo](err) == nil {
		return true // It was not the gateway that spoke: a connection broke, or a proxy answered.
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded:
		return true
	default: // Where there was too much at once, nothing was recorded.
		return Detail[*errdetails.RetryInfo](err) != nil
	}
}

// pause waits for as long as the gateway says, or else longer with each failure. It returns an error if there is no
// time for that.
func pause(ctx context.Context, err error, failures int) error {
	wait := min(firstWait<<min(failures-1, 10), longWait)
	wait = wait/2 + rand.N(wait/2) // so that many clients don't come back all at once
	if told := Detail[*errdetails.RetryInfo](err).GetRetryDelay(); told != nil {
		wait = told.AsDuration()
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait || wait > tooLong {
		return context.DeadlineExceeded
	}
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Detail is the first detail of that type in the status of an RPC that failed, or nil.
func Detail[T any](err error) (detail T) {
	for _, detail := range status.Convert(err).Details() {
		if found, ok := detail.(T); ok {
			return found
		}
	}
	return detail
}
