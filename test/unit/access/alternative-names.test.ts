import { expect, it } from 'vitest';
import { alternativeNames } from '../../../src/access/alternative-names.js';

it('reads DNS names, whatever their case, and URIs as they are', () => {
  const text = 'DNS:Checkout.Shop.svc, URI:spiffe://prod/Checkout, IP Address:10.0.0.1, email:a@b.c';
  expect(alternativeNames(text)).toEqual(['DNS:checkout.shop.svc', 'URI:spiffe://prod/Checkout']);
  expect(alternativeNames('')).toEqual([]);
});

it('takes no part of a name for a name: what is special in one stands within quotes', () => {
  expect(alternativeNames('URI:"a, DNS:checkout.shop.svc, b", DNS:own.svc')).toEqual(['DNS:own.svc']);
  expect(alternativeNames('URI:"a\\", DNS:checkout.shop.svc, \\"", DNS:own.svc')).toEqual(['DNS:own.svc']);
  expect(alternativeNames('othername:<unsupported>, DNS:own.svc')).toEqual(['DNS:own.svc']);
});

it.each(['DNS:own.svc, URI:"open', 'DNS:own.svc,DNS:b', 'DNS:own.svc, nonsense', 'DNS:own"svc'])(
  'reads nothing at all of %s',
  (text) => {
    expect(alternativeNames(text)).toEqual([]);
  },
);
