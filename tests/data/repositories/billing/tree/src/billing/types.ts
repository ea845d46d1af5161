export interface Line {
  sku: string
  price: number
  count: number
}

export interface Customer {
  id: string
  address?: { country: string }
}
