import { cpus } from 'node:os'
import type { Candidate } from './measure.ts'
import type { Row } from './rows.ts'
import { spreadOf, type Spread } from './spread.ts'

/** What a run found, as it is written to JSON. */
export interface Report {
  date: string
  node: string
  machine: string
  rows: ReportedRow[]
  besides: FigureGroup[]
}

interface ReportedRow {
  title: string
  /** CPU time of the server process for one request, in microseconds. */
  candidates: Array<{ name: string, microseconds: Spread }>
  /** Of candidate to floor, round by round. */
  ratios: Array<{ candidate: string, floor: string, ratio: Spread, atMost: number | null }>
}

/** What belongs together of things measured that have no floor beside them. */
export interface FigureGroup {
  title: string
  figures: Figure[]
}

export interface Figure {
  title: string
  value: Spread
  unit: string
  /** Behind the point. Default: 0. */
  digits?: number
  atMost: number | null
}

/** Puts measurements into words and numbers. */
export function createReport (rows: Row[], measured: Map<Candidate, number[]>, besides: FigureGroup[]): Report {
  return {
    date: new Date().toISOString(),
    node: process.version,
    machine: `${cpus().length} × ${cpus()[0]?.model}`,
    rows: rows.map(row => reportRow(row, measured)),
    besides
  }
}

function reportRow ({ title, candidates, limits }: Row, measured: Map<Candidate, number[]>): ReportedRow {
  const of = (candidate: Candidate) => measured.get(candidate) ?? []
  return {
    title,
    candidates: candidates.map(candidate => ({ name: candidate.name, microseconds: spreadOf(of(candidate)) })),
    ratios: limits.map(({ candidate, floor, atMost }) => ({
      candidate: candidate.name,
      floor: floor.name,
      ratio: spreadOf(of(candidate).map((time, round) => time / (of(floor)[round] as number))),
      atMost
    }))
  }
}

/** What is above its limit, in words. */
export function findExcesses ({ rows, besides }: Report): string[] {
  const ratios = rows.flatMap(({ title, ratios }) => ratios
    .filter(({ ratio, atMost }) => isAbove(ratio, atMost))
    .map(({ candidate, ratio, atMost }) => `${title}: ${candidate} is × ${ratio.median.toFixed(2)}, at most ${atMost}`))
  const others = besides.flatMap(({ figures }) => figures)
    .filter(({ value, atMost }) => isAbove(value, atMost))
    .map(({ title, value, unit, digits = 0, atMost }) => `${title}: ${value.median.toFixed(digits)} ${unit}, at most ${atMost}`)
  return [...ratios, ...others]
}

/** The report as a table for people. */
export function formatReport (report: Report): string {
  const lines = [`${report.date}, Node ${report.node}, ${report.machine}; medians, quartiles in brackets`]
  for (const { title, candidates, ratios } of report.rows) {
    lines.push('', title)
    for (const { name, microseconds } of candidates) {
      lines.push(`  ${name.padEnd(40)} ${formatSpread(microseconds, 1)} µs CPU per request`)
    }
    for (const { candidate, floor, ratio, atMost } of ratios) {
      lines.push(`  × ${formatSpread(ratio, 2)} ${candidate} / ${floor}${verdict(ratio, atMost)}`)
    }
  }
  for (const { title, figures } of report.besides) {
    lines.push('', title)
    for (const { title, value, unit, digits = 0, atMost } of figures) {
      lines.push(`  ${title.padEnd(40)} ${formatSpread(value, digits)} ${unit}${verdict(value, atMost)}`)
    }
  }
  return lines.join('\n')
}

function formatSpread ({ low, median, high }: Spread, digits: number): string {
  return `${median.toFixed(digits).padStart(6)} (${low.toFixed(digits)} to ${high.toFixed(digits)})`
}

function verdict (value: Spread, atMost: number | null): string {
  return atMost === null ? '' : ` - at most ${atMost}: ${isAbove(value, atMost) ? 'NO' : 'yes'}`
}

function isAbove ({ median }: Spread, atMost: number | null): boolean {
  return atMost !== null && median > atMost
}
