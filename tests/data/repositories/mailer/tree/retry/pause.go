// Package retry says how long to wait.
package retry

import (
	"fmt"
	"time"

	"github.com/pkg/errors"
)

// Longest pause.
const most = 30 * time.Minute

var steps = [...]time.Duration{
	time.Second,
	10 * time.Second,
	time.Minute,
}

// Pause is the wait before the attempt after so many.
func Pause(attempts int) (time.Duration, error) {
	if attempts > len(steps) {
		return 0, errors.New(fmt.Sprintf("no step for attempt %d", attempts))
	}
	return min(steps[attempts], most), nil
}
