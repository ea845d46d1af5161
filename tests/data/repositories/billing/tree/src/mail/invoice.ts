/** The letter that an invoice is sent with. */
export function letter(name: string): string {
  return `Dear ${name}, here is your invoice.`
}
