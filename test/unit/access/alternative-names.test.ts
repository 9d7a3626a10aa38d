import { expect, it } from 'vitest';
import { alternativeNames } from '../../../src/access/alternative-names.js';

it('DNS names are read in any case, and URIs as they are', () => {
  const text = 'DNS:Checkout.Shop.svc, URI:spiffe://prod/Checkout, IP Address:10.0.0.1, email:a@b.c';
  expect(alternativeNames(text)).toEqual(['DNS:checkout.shop.svc', 'URI:spiffe://prod/Checkout']);
  expect(alternativeNames('')).toEqual([]);
});

it('a part of a quoted name is not read as a name', () => {
  expect(alternativeNames('URI:"a, DNS:checkout.shop.svc, b", DNS:own.svc')).toEqual(['DNS:own.svc']);
  expect(alternativeNames('URI:"a\\", DNS:checkout.shop.svc, \\"", DNS:own.svc')).toEqual(['DNS:own.svc']);
  expect(alternativeNames('othername:<unsupported>, DNS:own.svc')).toEqual(['DNS:own.svc']);
});

it.each(['DNS:own.svc, URI:"open', 'DNS:own.svc,DNS:b', 'DNS:own.svc, nonsense', 'DNS:own"svc'])(
  'nothing is read of %s',
  (text) => {
    expect(alternativeNames(text)).toEqual([]);
  },
);
