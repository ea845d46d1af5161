'use strict'

const { stockOf } = require('../stock/levels')

class OrderService {
  constructor (limits = { lines: 50 }) {
    this.limits = limits
  }

  /** Reserves every line of an order, or none. */
  reserve (order) {
    if (order.lines.length > this.limits.lines) {
      throw new Error(`order ${order.id} has too many lines`)
    }
    const reserved = []
    for (const line of order.lines) {
      const level = stockOf(line.sku)
      reserved.push({ sku: line.sku, left: level - line.count })
    }
    return reserved
  }
}

module.exports = { OrderService }
