import { Customer, Line } from './types'

const RATES: Record<string, number> = { de: 0.19, fr: 0.2, ch: 0.081 }

export interface Invoice {
  net: number
  tax: number
  lines: Line[]
}

/** Tax of a country, by its code. */
export const taxRate = (customer: Customer): number => {
  const country = customer.address!.country.toLowerCase()
  return RATES[country] ?? 0
}

/** What a customer has to pay. */
export async function createInvoice(customer: Customer, lines: Line[]): Promise<Invoice> {
  const net = lines.reduce((sum, line) => sum + line.price * line.count, 0)
  const tax = net * taxRate(customer)
  return { net, tax, lines }
}
