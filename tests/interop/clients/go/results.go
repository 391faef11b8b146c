package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	dialplanev1 "example.com/call/gen/dialplane/v1"
)

func results(ctx context.Context, given *world) error {
	var numbers []string
	for _, ending := range []string{"3000", "3100", "3200", "3300", "3400"} {
		numbers = append(numbers, given.number(ending))
	}
	request := given.request("results", "", numbers...)
	placed, err := given.calls.CreateCalls(ctx, request)
	if err != nil {
		return err
	}
	paged, sizes, err := given.pages(ctx, request.GetRequestId())
	if err != nil {
		return err
	}
	reference, missing := request.GetCalls()[3].GetClientReference(), given.id("nobody-has-this")
	found, err := given.calls.GetCallResults(ctx, &dialplanev1.GetCallResultsRequest{
		ClientReferences: []string{reference, missing},
	})
	if err != nil {
		return err
	}
	return errors.Join(
		expect("the ids of all pages", slices.Equal(ids(paged), ids(placed.GetCalls())), ids(paged), ids(placed.GetCalls())),
		expect("the pages' sizes", slices.Equal(sizes, []int{2, 2, 1}), sizes),
		expect("by reference", slices.Equal(ids(found.GetCalls()), ids(placed.GetCalls()[3:4])), found),
		expect("not_found", slices.Equal(found.GetNotFound(), []string{missing}), found.GetNotFound()),
		given.allOver(ctx, request.GetRequestId(), len(numbers)),
	)
}

// pages reads a request's calls two by two.
func (given *world) pages(ctx context.Context, id string) (calls []*dialplanev1.Call, sizes []int, err error) {
	for token := ""; ; {
		page, err := given.calls.GetCallResults(ctx, &dialplanev1.GetCallResultsRequest{
			RequestId: id,
			PageSize:  2,
			PageToken: token,
		})
		if err != nil {
			return nil, nil, err
		}
		calls = append(calls, page.GetCalls()...)
		sizes = append(sizes, len(page.GetCalls()))
		if token = page.GetNextPageToken(); token == "" || len(sizes) > 5 {
			return calls, sizes, nil
		}
	}
}

func ids(calls []*dialplanev1.Call) (ids []string) {
	for _, call := range calls {
		ids = append(ids, call.GetCallId())
	}
	return ids
}

// allOver asks the vendor until it has told the end of each call.
func (given *world) allOver(ctx context.Context, id string, count int) error {
	for {
		answer, err := given.calls.GetCallResults(ctx, &dialplanev1.GetCallResultsRequest{
			RequestId:    id,
			MaxStaleness: durationpb.New(0),
		})
		if err != nil {
			return err
		}
		over := 0
		for _, call := range answer.GetCalls() {
			if call.GetEndTime() != nil {
				over++
				if call.GetState() != dialplanev1.CallState_CALL_STATE_ANSWERED {
					return expect("how it ended", false, call)
				}
			}
		}
		if over == count {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func watch(ctx context.Context, given *world) error {
	request := given.request("watch", "", given.number("4000"), given.number("4100"), given.number("4200"))
	placed, err := given.calls.CreateCalls(ctx, request)
	if err != nil {
		return err
	}
	selection := &dialplanev1.WatchCallResultsRequest{RequestId: request.GetRequestId()}
	seen, err := given.twoChanges(ctx, selection)
	if err != nil {
		return err
	}
	stream, err := given.calls.WatchCallResults(ctx, selection)
	if err != nil {
		return err
	}
	for {
		change, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		seen = append(seen, change.GetCall())
	}
	return everyRevision(seen, ids(placed.GetCalls()))
}

// twoChanges reads two messages, hangs up, and keeps the cursor in the selection.
func (given *world) twoChanges(
	ctx context.Context, selection *dialplanev1.WatchCallResultsRequest,
) (seen []*dialplanev1.Call, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := given.calls.WatchCallResults(ctx, selection)
	if err != nil {
		return nil, err
	}
	for range 2 {
		change, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		seen = append(seen, change.GetCall())
		selection.Cursor = change.GetCursor()
	}
	cancel()
	// What had come by then may still be read. Nobody deals with it, so it has to come again.
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Canceled {
		return nil, fmt.Errorf("the stream was hung up, and says: %w", err)
	}
	return seen, nil
}

// everyRevision checks that each call's revisions came once and in order, and that the last one is final.
func everyRevision(seen []*dialplanev1.Call, ids []string) error {
	last := map[string]*dialplanev1.Call{}
	for _, call := range seen {
		if right := last[call.GetCallId()].GetRevision() + 1; call.GetRevision() != right {
			return expect("not the next revision", false, right, call)
		}
		last[call.GetCallId()] = call
	}
	if len(last) != len(ids) {
		return expect("not all of the calls, or too many", false, len(last))
	}
	for _, id := range ids {
		if last[id].GetState() != dialplanev1.CallState_CALL_STATE_ANSWERED {
			return expect("not the end", false, id, last[id])
		}
	}
	return nil
}

func cancelCalls(ctx context.Context, given *world) error {
	number := given.number("5000")
	request := given.request("cancel", "", number)
	request.Calls[0].StartTime = timestamppb.New(time.Now().Add(time.Hour))
	placed, err := given.calls.CreateCalls(ctx, request)
	if err != nil {
		return err
	}
	answer, err := given.calls.CancelCalls(ctx, &dialplanev1.CancelCallsRequest{RequestId: request.GetRequestId()})
	if err != nil {
		return err
	}
	states := func(calls []*dialplanev1.Call, state dialplanev1.CallState) bool {
		return len(calls) == 1 && calls[0].GetState() == state
	}
	return errors.Join(
		expect("not SCHEDULED", states(placed.GetCalls(), dialplanev1.CallState_CALL_STATE_SCHEDULED), placed),
		expect("not CANCELED", states(answer.GetCalls(), dialplanev1.CallState_CALL_STATE_CANCELED), answer),
		given.dialled(ctx, number, 0),
	)
}
