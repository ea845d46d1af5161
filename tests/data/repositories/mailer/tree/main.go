package main

import (
	"log/slog"

	"example.com/mailer/queue"
)

// guarded runs one round and survives whatever happens in it.
func guarded(round func()) {
	defer func() {
		if failed := recover(); failed != nil {
			slog.Error("round failed", "error", failed)
		}
	}()
	round()
}

func main() {
	letters := []queue.Letter{{To: "ada@example.com", Attempts: 3}}
	guarded(func() {
		letters, _ = queue.Drain(letters, func(queue.Letter) error { return nil })
	})
}
