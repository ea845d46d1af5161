// Package store keeps what is in stock.
package store

import "sync"

// Item is one article in one place.
type Item struct {
	SKU   string
	Count int
}

// Store holds items by their article.
type Store struct {
	mu    sync.Mutex
	items map[string]*Item
}

// New makes an empty store.
func New() *Store {
	return &Store{items: map[string]*Item{}}
}

// Put sets what is there.
func (s *Store) Put(item Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items[item.SKU] = &item
}

// Take removes pieces of an article; the answer is how many are left.
func (s *Store) Take(sku string, count int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	item := s.items[sku]
	item.Count -= count
	return item.Count
}
