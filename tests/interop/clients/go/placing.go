package main

import (
	"context"
	"errors"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"example.com/call/calling"
	dialplanev1 "example.com/call/gen/dialplane/v1"
)

func create(ctx context.Context, given *world) error {
	number := given.number("2000")
	request := given.request("create", "", number)
	first, err := calling.Place(ctx, given.calls, request)
	if err != nil {
		return err
	}
	last := dialplanev1.CallState_CALL_STATE_UNSPECIFIED
	err = calling.Follow(ctx, given.calls, request.GetRequestId(), func(call *dialplanev1.Call) { last = call.GetState() })
	if err != nil {
		return err
	}
	again, err := calling.Place(ctx, given.calls, request)
	if err != nil {
		return err
	}
	same := len(again.GetCalls()) == 1 && again.GetCalls()[0].GetCallId() == first.GetCalls()[0].GetCallId()
	return errors.Join(
		// Whose answer was lost has it from a further try.
		expect("the first answer is a replay", first.GetReplayed() == (os.Getenv("INTEROP_LOST") != ""), first),
		expect("how it ended", last == dialplanev1.CallState_CALL_STATE_ANSWERED, last),
		expect("the same again is replayed", again.GetReplayed() && same, first, again),
		given.dialled(ctx, number, 1),
	)
}

func reused(ctx context.Context, given *world) error {
	number, other := given.number("2100"), given.number("2200")
	if _, err := given.calls.CreateCalls(ctx, given.request("reused", "", number)); err != nil {
		return err
	}
	_, err := given.calls.CreateCalls(ctx, given.request("reused", "", other))
	_, err = refused(err, codes.AlreadyExists, "dialplane", "REQUEST_ID_REUSED")
	return errors.Join(err, given.dialled(ctx, number, 1), given.dialled(ctx, other, 0))
}

func partial(ctx context.Context, given *world) error {
	request := given.request("partial", "mobtexting", given.number("6000"), given.number("6110"), given.number("6201"))
	answer, err := given.calls.CreateCalls(ctx, request)
	if err != nil {
		return err
	}
	calls := answer.GetCalls()
	if len(calls) != 3 {
		return expect("three calls", false, calls)
	}
	info, err := refused(callError(calls[1]), codes.InvalidArgument, "mobtexting.com", "")
	failed := calls[1].GetState() == dialplanev1.CallState_CALL_STATE_FAILED
	failures := []error{err, expect("the second failed", failed, calls[1])}
	for _, name := range []string{"vendor", "vendor_code", "http_status"} {
		failures = append(failures, expect(name, info.GetMetadata()[name] != "", info))
	}
	failures = append(failures, expect("dialed", info.GetMetadata()["dialed"] == "no", info))
	for _, call := range []*dialplanev1.Call{calls[0], calls[2]} {
		failures = append(failures, expect("no error", call.GetCallId() != "" && call.GetError() == nil, call))
	}
	return errors.Join(failures...)
}

func allFailed(ctx context.Context, given *world) error {
	request := given.request("all-failed", "phonon", given.number("2711"), given.number("2811"))
	_, err := given.calls.CreateCalls(ctx, request)
	info, wrong := refused(err, codes.ResourceExhausted, "phonon.io", "INSUFFICIENT_BALANCE")
	if wrong != nil {
		return wrong
	}
	packed := calling.Detail[*dialplanev1.CreateCallsResponse](err)
	failures := []error{
		expect("request_id", info.GetMetadata()["request_id"] == request.GetRequestId(), info),
		expect("both calls are packed", len(packed.GetCalls()) == 2, packed),
	}
	for place, call := range packed.GetCalls() {
		_, wrong := refused(callError(call), codes.ResourceExhausted, "phonon.io", "INSUFFICIENT_BALANCE")
		right := call.GetCallId() != "" && call.GetClientReference() == request.GetCalls()[place].GetClientReference()
		failures = append(failures, wrong, expect("its ids", right, call))
	}
	return errors.Join(failures...)
}

func badRequest(ctx context.Context, given *world) error {
	_, empty := given.calls.CreateCalls(ctx, given.request("no-calls", ""))
	_, wrong := refused(empty, codes.InvalidArgument, "dialplane", "")
	fields := wrongFields(empty)
	failures := []error{wrong, expect("fields of the empty one", len(fields) == 1 && fields[0] == "calls", fields)}

	request := given.request("no-number", "", given.number("2300"), "nobody")
	request.AllOrNothing = true
	_, err := given.calls.CreateCalls(ctx, request)
	_, wrong = refused(err, codes.InvalidArgument, "dialplane", "")
	fields = wrongFields(err)
	failures = append(failures, wrong,
		expect("fields of the wrong one", len(fields) == 1 && fields[0] == "calls[1].to[0]", fields),
		given.dialled(ctx, given.number("2300"), 0))
	return errors.Join(failures...)
}

func validate(ctx context.Context, given *world) error {
	request := given.request("validate", "", given.number("2400"), "nobody")
	request.ValidateOnly = true
	answer, err := given.calls.CreateCalls(ctx, request)
	if err != nil {
		return err
	}
	calls := answer.GetCalls()
	if len(calls) != 2 {
		return expect("two calls", false, calls)
	}
	_, wrong := refused(callError(calls[1]), codes.InvalidArgument, "dialplane", "")
	return errors.Join(wrong,
		expect("no call ids", calls[0].GetCallId() == "" && calls[1].GetCallId() == "", calls),
		expect("nothing is wrong with the first", calls[0].GetError() == nil, calls[0]),
		given.dialled(ctx, given.number("2400"), 0))
}

func retryInfo(ctx context.Context, given *world) error {
	if _, err := given.calls.CreateCalls(ctx, given.request("first", "paced", given.number("2500"))); err != nil {
		return err
	}
	began := time.Now()
	_, err := given.within(ctx, 2*time.Second, given.request("second", "paced", given.number("2600")))
	took := time.Since(began)
	_, wrong := refused(err, codes.ResourceExhausted, "dialplane", "PACE_EXHAUSTED")
	wait := calling.Detail[*errdetails.RetryInfo](err).GetRetryDelay().AsDuration()
	return errors.Join(wrong,
		expect("refused at once", took < 1500*time.Millisecond, took),
		expect("QuotaFailure", calling.Detail[*errdetails.QuotaFailure](err) != nil, status.Convert(err).Details()),
		expect("the wait", wait > 2*time.Second && wait <= time.Minute, wait),
		given.dialled(ctx, given.number("2600"), 0))
}

func deadline(ctx context.Context, given *world) error {
	request := given.request("deadline", "slow", given.number("2914"))
	began := time.Now()
	_, err := given.within(ctx, time.Second, request)
	took := time.Since(began)
	if status.Code(err) != codes.DeadlineExceeded || took < 800*time.Millisecond || took > 3*time.Second {
		return expect("not DEADLINE_EXCEEDED after a second", false, took, err)
	}
	begun, err := given.calls.GetCallResults(ctx, &dialplanev1.GetCallResultsRequest{RequestId: request.GetRequestId()})
	if err != nil {
		return err
	}
	again, err := given.calls.CreateCalls(ctx, proto.CloneOf(request))
	if err != nil {
		return err
	}
	same := len(begun.GetCalls()) == 1 && len(again.GetCalls()) == 1 &&
		begun.GetCalls()[0].GetCallId() == again.GetCalls()[0].GetCallId()
	return errors.Join(expect("the very same call", same, begun, again), given.dialled(ctx, given.number("2914"), 1))
}
