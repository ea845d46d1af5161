const { OrderService } = require('./src/orders/service')

function handle (order) {
  return new OrderService().reserve(order)
}

handle({ id: 'o-1', lines: [{ sku: 'socks', count: 1 }, { sku: 'south/shirt', count: 1 }] })
