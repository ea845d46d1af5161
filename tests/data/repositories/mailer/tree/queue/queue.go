// Package queue holds letters until they are sent.
package queue

import (
	"fmt"

	"example.com/mailer/retry"
)

// Letter is what is to be sent.
type Letter struct {
	To       string
	Attempts int
}

// Drain sends everything; a letter that fails stays for its next attempt.
func Drain(letters []Letter, send func(Letter) error) ([]Letter, error) {
	var left []Letter
	for _, letter := range letters {
		if err := send(letter); err != nil {
			wait, err := retry.Pause(letter.Attempts)
			if err != nil {
				return nil, fmt.Errorf("letter to %s: %w", letter.To, err)
			}
			letter.Attempts++
			_ = wait
			left = append(left, letter)
		}
	}
	return left, nil
}
