package main

import (
	"fmt"
	"net/http"

	"github.com/acme/stock/internal/store"
)

type api struct {
	store *store.Store
}

func (a *api) take(w http.ResponseWriter, r *http.Request) {
	left := a.store.Take(r.URL.Query().Get("sku"), 1)
	fmt.Fprintf(w, "%d left\n", left)
}

func main() {
	a := &api{store: store.New()}
	http.HandleFunc("/take", func(w http.ResponseWriter, r *http.Request) {
		a.take(w, r)
	})
	http.ListenAndServe(":8080", nil)
}
