package calling

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	dialplanev1 "example.com/call/gen/dialplane/v1"
)

// resumptions is how often a stream is taken up again without a word from the gateway: that is some minutes.
const resumptions = 20

// Follow tells every change of a request's calls, each once and in order, until all of them are over.
//
// A stream that breaks is taken up again after the last change that was told. To go on after a restart of your own
// program, keep the cursor where you keep what you made of the change.
func Follow(
	ctx context.Context, client dialplanev1.CallServiceClient, requestID string, tell func(*dialplanev1.Call),
) error {
	watch := &dialplanev1.WatchCallResultsRequest{
		RequestId: requestID,
		// Proxies like to cut streams on which nothing moves.
		HeartbeatInterval: durationpb.New(30 * time.Second),
	}
	failures := 0
	for {
		heard, err := followOnce(ctx, client, watch, tell)
		if err == nil {
			return nil
		}
		if heard {
			failures = 0
		}
		if failures++; failures == resumptions || !worthResuming(ctx, err) {
			return err
		}
		if pause(ctx, err, failures) != nil {
			return err
		}
	}
}

// followOnce reads one stream to its end, and keeps in watch where to resume. It tells whether there was any message.
func followOnce(
	ctx context.Context, client dialplanev1.CallServiceClient, watch *dialplanev1.WatchCallResultsRequest,
	tell func(*dialplanev1.Call),
) (heard bool, err error) {
	stream, err := client.WatchCallResults(ctx, watch)
	if err != nil {
		return false, err
	}
	for {
		change, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return heard, nil // OK: all calls are over.
		}
		if err != nil {
			return heard, err
		}
		heard = true
		if change.GetCall() != nil { // It is unset in a heartbeat.
			tell(change.GetCall())
		}
		watch.Cursor = change.GetCursor()
	}
}

func worthResuming(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	switch status.Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented:
		return false
	default:
		return true // The connection broke, or the gateway stops. Reading again does no harm.
	}
}
